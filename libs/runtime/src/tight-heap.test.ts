import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

import { HEAP_GROWTH } from "./tight-heap.ts";

test("V8 knows the limit of the heap's growth", async () => {
  // An unknown flag that is set at run time is passed over; on the command line it is refused.
  const flag = `--heap-growing-percent=${HEAP_GROWTH}`;
  await expect(
    promisify(execFile)(process.execPath, [flag, "--eval", ""], { env: {} }),
  ).resolves.toEqual({ stdout: "", stderr: "" });
});
