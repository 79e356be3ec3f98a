import { expect, test } from "vitest";
import { run } from "./run.ts";

test.each([
  ["demo", "--help"],
  ["bench", "--help"],
  ["chaos", "--help"],
  ["chaos", "--list"],
])("npm run %s -- %s fits a terminal of 80 columns", async (tool, option) => {
  const { code, stdout, stderr } = await run(`tools/${tool}/dist/main.js`, { args: [option] });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).not.toBe("");
  expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
});
