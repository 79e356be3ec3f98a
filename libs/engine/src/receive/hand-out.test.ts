import fc from "fast-check";
import { expect, test } from "vitest";

import { bitCount, bitsOf } from "../message/bits.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import { takeMessages } from "./hand-out.ts";

const mask = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });

function slice(batchId: number, of: bigint): ClaimedSlice {
  return {
    batchId: String(batchId),
    mask: of,
    lease: "1",
    visibleAt: 0,
    sentAt: 0,
    firstReceivedAt: 0,
    receiveCount: 1,
    deadLetter: undefined,
    envelope: undefined,
  };
}

/** `batch/bit` of every message. */
function messagesOf(slices: readonly ClaimedSlice[]): string[] {
  return slices.flatMap(({ batchId, mask: of }) => bitsOf(of).map((bit) => `${batchId}/${bit}`));
}

test("the bits of a mask are those that are set, lowest first", () => {
  fc.assert(
    fc.property(fc.oneof(mask, fc.constant(0n)), (of) => {
      const expected = Array.from({ length: 63 }, (_, bit) => bit).filter(
        (bit) => (of >> BigInt(bit)) & 1n,
      );
      expect(bitsOf(of)).toEqual(expected);
      expect(bitCount(of)).toBe(expected.length);
    }),
    { examples: [[2n ** 63n - 1n], [2n ** 62n], [2n ** 32n], [2n ** 31n], [1n]] },
  );
});

test("takers get what they ask for, in order, until the stock is out; nothing is lost or shared", () => {
  const masks = fc.array(mask, { maxLength: 8 });
  const takers = fc.array(fc.integer({ min: 1, max: 100 }), { maxLength: 20 });
  fc.assert(
    fc.property(masks, takers, (of, wanted) => {
      const stock = of.map((one, index) => slice(index, one));
      const all = messagesOf(stock);
      const taken = wanted.map((max) => messagesOf(takeMessages(stock, max)));
      expect([...taken.flat(), ...messagesOf(stock)]).toEqual(all);
      let left = all.length;
      for (const [index, max] of wanted.entries()) {
        expect(taken[index]).toHaveLength(Math.min(max, left));
        left -= taken[index]!.length;
      }
    }),
  );
});

test("a slice that fits is handed over as it is", () => {
  const whole = slice(1, 7n);
  const stock = [whole, slice(2, 1n)];
  expect(takeMessages(stock, 3)).toEqual([whole]);
  expect(stock).toEqual([slice(2, 1n)]);
});
