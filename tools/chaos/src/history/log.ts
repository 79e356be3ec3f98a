import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Call, CallOf, OperationName, Operations } from "./history.ts";

/** A line of a client's log. */
type Entry =
  | {
      type: "invoke";
      call: number;
      at: number;
      operation: OperationName;
      request: Operations[OperationName]["request"];
    }
  | { type: "ok"; call: number; at: number; response: Operations[OperationName]["response"] }
  | { type: "fail" | "info"; call: number; at: number; reason: string };

/**
 * The history of one client process, one JSON object a line. A call is written down before it is made and each line is
 * written at once, so that a client that is killed leaves a true history: calls without an end.
 */
export class ClientLog {
  readonly #file: number;
  #calls = 0;

  constructor(folder: string, client: string) {
    this.#file = openSync(join(folder, `${client}.jsonl`), "w");
  }

  invoke<Name extends OperationName>(
    operation: Name,
    request: Operations[Name]["request"],
  ): number {
    this.#calls += 1;
    this.#write({ type: "invoke", call: this.#calls, at: now(), operation, request });
    return this.#calls;
  }

  ok(call: number, response: Operations[OperationName]["response"]): void {
    this.#write({ type: "ok", call, at: now(), response });
  }

  /** Refused: it had no effect. */
  fail(call: number, reason: string): void {
    this.#write({ type: "fail", call, at: now(), reason });
  }

  /** Nobody knows whether it had an effect. */
  info(call: number, reason: string): void {
    this.#write({ type: "info", call, at: now(), reason });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

/** Nanoseconds of CLOCK_MONOTONIC. */
export function now(): number {
  return Number(process.hrtime.bigint());
}

/** Reads the logs of all clients of a run. */
export function readCalls(folder: string): Call[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .flatMap((name) => readLog(readFileSync(join(folder, name), "utf8"), name.slice(0, -6)));
}

/** @throws when a line ends a call that never began, or ends it twice. */
export function readLog(text: string, client: string): Call[] {
  const lines = text.split("\n");
  // What a killed client was writing.
  if (lines.at(-1) !== "") lines.pop();
  const calls = new Map<number, CallOf<OperationName>>();
  const ended = new Set<number>();
  for (const line of lines) {
    if (line === "") continue;
    const entry = JSON.parse(line) as Entry;
    if (entry.type === "invoke") {
      const { operation, request, at } = entry;
      calls.set(entry.call, {
        operation,
        client,
        begin: at,
        end: Infinity,
        outcome: "unknown",
        request,
        response: undefined,
      });
      continue;
    }
    const call = calls.get(entry.call);
    if (call === undefined || ended.has(entry.call)) {
      throw new Error(`${client}: call ${entry.call} ends without a beginning, or twice`);
    }
    ended.add(entry.call);
    finish(call, entry);
  }
  return [...calls.values()] as Call[];
}

function finish(call: CallOf<OperationName>, entry: Exclude<Entry, { type: "invoke" }>): void {
  if (entry.type === "info") return;
  call.outcome = entry.type;
  call.end = entry.at;
  if (entry.type === "ok") call.response = entry.response;
}
