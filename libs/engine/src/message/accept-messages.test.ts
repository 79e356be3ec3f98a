import { expect, test } from "vitest";

import { acceptMessages, resultsOf } from "./accept-messages.ts";

test("accepted messages become lines with their bytes and delays", () => {
  const { messages, refusals } = acceptMessages([{ body: "a" }, { body: "é", delay: 5 }], 1_024);
  expect(messages.map(({ delay }) => delay)).toEqual([-1, 5]);
  for (const { line, bytes } of messages) expect(bytes).toBe(Buffer.byteLength(line));
  expect(refusals).toEqual([undefined, undefined]);
});

test("a refused message has no line, and what was stored goes to the others in order", () => {
  const { messages, refusals } = acceptMessages(
    [{ body: "a" }, { body: "" }, { body: "c" }],
    1_024,
  );
  expect(messages).toHaveLength(2);
  expect(resultsOf(refusals, [{ messageId: "first" }, { messageId: "second" }])).toMatchObject([
    { messageId: "first" },
    { error: { code: "invalid_message" } },
    { messageId: "second" },
  ]);
});
