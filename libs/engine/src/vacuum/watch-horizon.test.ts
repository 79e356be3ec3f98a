import { createLogger } from "@sluice/runtime";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { HorizonHolder } from "./horizon.ts";
import { HorizonWatch } from "./watch-horizon.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

const transaction: HorizonHolder = {
  kind: "transaction",
  name: "4711",
  applicationName: "report",
  xmin: "100",
  seconds: 61,
};
const slot: HorizonHolder = {
  kind: "replication slot",
  name: "standby",
  applicationName: null,
  xmin: "100",
  seconds: 0,
};

function watch() {
  const seen: (number | undefined)[] = [];
  const lines: { event?: string; name?: string }[] = [];
  const logger = createLogger({
    name: "test",
    level: "warn",
    stream: { write: (line) => void lines.push(JSON.parse(line) as { event: string }) },
  });
  const observer = { horizonHeld: (seconds: number | undefined) => void seen.push(seconds) };
  return { watching: new HorizonWatch({ observer, logger }), seen, lines };
}

test("who holds it for more than a minute is named, and again after ten more", () => {
  const { watching, seen, lines } = watch();
  watching.saw({ ...transaction, seconds: 59 });
  expect(lines).toEqual([]);
  watching.saw(transaction);
  watching.saw({ ...transaction, seconds: 300 });
  expect(lines).toMatchObject([{ event: "horizon.held", name: "4711", applicationName: "report" }]);
  vi.advanceTimersByTime(600_000);
  watching.saw({ ...transaction, seconds: 661 });
  expect(lines).toHaveLength(2);
  watching.saw(undefined);
  expect(seen).toEqual([59, 61, 300, 661, 0]);
});

test("a slot is as old as it has been seen at the same place", () => {
  const { watching, seen, lines } = watch();
  watching.saw(slot);
  vi.advanceTimersByTime(50_000);
  watching.saw({ ...slot, xmin: "101" });
  vi.advanceTimersByTime(50_000);
  watching.saw({ ...slot, xmin: "101" });
  expect(lines).toEqual([]);
  vi.advanceTimersByTime(20_000);
  watching.saw({ ...slot, xmin: "101" });
  expect(lines).toMatchObject([{ name: "standby" }]);
  expect(seen).toEqual([0, 0, 50, 70]);
});

test("that nobody holds it is not known while there may be somebody who is not shown", () => {
  const { watching, seen, lines } = watch();
  watching.saw(undefined, true);
  watching.saw(transaction, true);
  watching.saw(undefined, true);
  watching.saw(undefined, false);
  watching.sawNothing();
  expect(seen).toEqual([undefined, 61, undefined, 0, undefined]);
  expect(lines).toMatchObject([{ event: "horizon.invisible" }, { event: "horizon.held" }]);
});
