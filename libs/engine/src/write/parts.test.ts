import fc from "fast-check";
import { expect, test } from "vitest";

import { partsOf } from "./parts.ts";

test("messages with the same delay and group share a slice", () => {
  const parts = partsOf({ delays: [-1, 5, -1, 0, 5, 5], groupIds: ["", "a", "", "", "a", "b"] });
  expect(parts).toEqual([
    { delay: -1, groupId: "", pending: 0b000101n },
    { delay: 5, groupId: "a", pending: 0b010010n },
    { delay: 0, groupId: "", pending: 0b001000n },
    { delay: 5, groupId: "b", pending: 0b100000n },
  ]);
});

test("each message is in the slice of its delay and group, and in no other", () => {
  const message = fc.record({
    delay: fc.integer({ min: -1, max: 3 }),
    groupId: fc.constantFrom("", "a", "/", "1/"),
  });
  const messages = fc.array(message, { minLength: 1, maxLength: 63 });
  fc.assert(
    fc.property(messages, (of) => {
      const parts = partsOf({
        delays: of.map(({ delay }) => delay),
        groupIds: of.map(({ groupId }) => groupId),
      });
      of.forEach(({ delay, groupId }, bit) => {
        for (const part of parts) {
          const isIts = part.delay === delay && part.groupId === groupId;
          expect((part.pending >> BigInt(bit)) & 1n).toBe(isIts ? 1n : 0n);
        }
      });
    }),
  );
});
