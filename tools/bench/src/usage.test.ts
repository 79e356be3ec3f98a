import { expect, test } from "vitest";

import { benchmarks } from "./benchmarks.ts";
import { systems } from "./systems/systems.ts";
import { usage } from "./usage.ts";

test("every line fits a terminal of 80 columns", () => {
  expect(usage.split("\n").filter((line) => line.length > 80)).toEqual([]);
});

test("every benchmark and every system is named", () => {
  const words = usage.split(/[\s,;()]+/);
  for (const { name } of [...benchmarks, ...systems]) expect(words).toContain(name);
});
