import { expect, test } from "vitest";
import { Progress } from "./progress.ts";

test("something long tells how far it is, every two seconds", () => {
  const lines: string[] = [];
  let now = 0;
  const progress = new Progress(
    (line) => lines.push(line),
    () => now,
  );
  progress.begin("counting");
  // Half a second for each look at the clock.
  for (const _ of progress.through(Array.from({ length: 40_960 }), 40_960)) now += 500 / 4_096;
  expect(lines).toEqual(["counting: 40 %", "counting: 80 %"]);
});

test("something short tells nothing", () => {
  const lines: string[] = [];
  let now = 0;
  const progress = new Progress(
    (line) => lines.push(line),
    () => now,
  );
  progress.begin("counting");
  for (const _ of progress.through(Array.from({ length: 40_960 }), 40_960)) now += 1_900 / 40_960;
  expect(lines).toEqual([]);
});
