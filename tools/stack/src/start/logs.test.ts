import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary-folder.ts";
import { Logs } from "./logs.ts";

test.each([
  ["api: cannot listen", { level: "fatal", message: "cannot listen" }],
  [
    "api: ledger failed: No space left on device",
    failed({ message: "Failed query", cause: { message: "No space left on device" } }),
  ],
  ["api: cannot start: no port", failed({ message: "no port" }, "cannot start: no port")],
  [undefined, { level: "info", message: "ready" }],
])("what is serious is shown with its reason: %s", async (shown, line) => {
  await using folder = await temporaryFolder();
  const lines: string[] = [];
  const logs = await Logs.open(folder.path, {
    step: (_label, work) => work(),
    line: (text) => lines.push(text),
    alarm: () => {},
  });
  logs.write("api", JSON.stringify(line));
  await logs[Symbol.asyncDispose]();
  expect(lines).toEqual(shown === undefined ? [] : [shown]);
  const file = await readFile(join(folder.path, "logs", "api.log"), "utf8");
  expect(file).toBe(`${JSON.stringify(line)}\n`);
});

function failed(err: object, message = "ledger failed") {
  return { level: "error", message, err };
}
