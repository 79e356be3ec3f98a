import { access, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@sluice/stack";
import { expect, test } from "vitest";
import { historyFolder } from "./folder.ts";

/** Whether a folder outlives its run. */
async function remains(wanted: string | undefined, keep: boolean): Promise<[string, boolean]> {
  const folder = await historyFolder(wanted);
  await writeFile(join(folder.path, "world.json"), "{}");
  if (keep) folder.keep();
  await folder[Symbol.asyncDispose]();
  const left = await access(folder.path).then(
    () => true,
    () => false,
  );
  return [folder.path, left];
}

test("histories go with their run, unless they are kept or somebody named a place for them", async () => {
  await using named = await temporaryFolder();
  const outcomes = [
    await remains(undefined, false),
    await remains(undefined, true),
    await remains(join(named.path, "histories"), false),
  ];
  expect(outcomes.map(([, left]) => left)).toEqual([false, true, true]);
  for (const [path] of outcomes) await rm(path, { recursive: true, force: true });
});
