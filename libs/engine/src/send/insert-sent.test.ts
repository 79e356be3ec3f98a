import fc from "fast-check";
import { expect, test } from "vitest";

import { slicesByDelay } from "./insert-sent.ts";

test("messages with the same delay share a slice", () => {
  expect(slicesByDelay([-1, 5, -1, 0, 5])).toEqual(
    new Map([
      [-1, 0b00101n],
      [5, 0b10010n],
      [0, 0b01000n],
    ]),
  );
});

test("each message is in the slice of its delay and in no other", () => {
  const delays = fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 1, maxLength: 63 });
  fc.assert(
    fc.property(delays, (of) => {
      const slices = slicesByDelay(of);
      of.forEach((delay, bit) => {
        for (const [other, pending] of slices) {
          expect((pending >> BigInt(bit)) & 1n).toBe(other === delay ? 1n : 0n);
        }
      });
    }),
  );
});
