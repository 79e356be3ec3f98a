import { expect, test } from "vitest";
import { randomFrom } from "../random.ts";
import { check } from "./check.ts";
import { ImaginedBroker } from "./imagined-broker.ts";

/** How often the checker looks at a call, on the average, of a history of that many. */
function looksAtEachOf(calls: number): number {
  const { history } = new ImaginedBroker(randomFrom(1)).play(calls);
  let looks = 0;
  const counted = history.calls.map(
    (call) =>
      new Proxy(call, {
        get: (target, field) => {
          looks += 1;
          return Reflect.get(target, field) as unknown;
        },
      }),
  );
  expect(check({ ...history, calls: counted })).toEqual([]);
  return looks / counted.length;
}

test("a call of a long history is looked at as often as one of a short one", () => {
  const short = looksAtEachOf(1_000);
  expect(looksAtEachOf(4_000)).toBeLessThan(short * 1.2);
});
