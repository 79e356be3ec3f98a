import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readCalls } from "../history/log.ts";
import type { History } from "../history/history.ts";
import { countMessages, type MessageCounts, type OperationCounts } from "../report/report.ts";
import { checkIndexed } from "./check.ts";
import { Indexed } from "./indexed.ts";
import type { Progress } from "./progress.ts";
import { summarize, type Summary } from "./summary.ts";

/** What the histories of a run come to. */
export interface Verdict extends Summary {
  operations: OperationCounts;
  messages: MessageCounts;
}

/** Reads and checks what a run has left in a folder. */
export function judge(folder: string, progress: Progress): Verdict {
  const saved = JSON.parse(readFileSync(join(folder, "world.json"), "utf8")) as Omit<
    History,
    "calls"
  >;
  const index = new Indexed({ ...saved, calls: readCalls(folder, progress) }, progress);
  return {
    operations: index.outcomes,
    messages: countMessages(index),
    ...summarize(checkIndexed(index, progress)),
  };
}
