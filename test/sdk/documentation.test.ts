import { readFileSync } from "node:fs";
import { errorCodes } from "@sluice/client";
import { expect, test } from "vitest";

test("the client's README lists every error code and whether it is retryable", () => {
  const page = new URL("../../libs/client/README.md", import.meta.url);
  const rows = readFileSync(page, "utf8").matchAll(/^\| `(\w+)`\s+\| (yes|no) /gm);
  const listed = Array.from(rows, ([, code, retryable]) => [
    code,
    { retryable: retryable === "yes" },
  ]);
  expect(Object.fromEntries(listed)).toEqual(errorCodes);
});
