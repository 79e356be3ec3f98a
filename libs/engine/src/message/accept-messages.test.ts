import { expect, test } from "vitest";

import { acceptMessages, resultsOf } from "./accept-messages.ts";

test("accepted messages become lines with the ids that the results tell", () => {
  const accepted = acceptMessages([{ body: "a" }, { body: "é", delay: 5 }], 1_024);
  const ids = accepted.lines.map(
    (line) => (JSON.parse(`{${line}}`) as { messageId: string }).messageId,
  );
  expect(resultsOf(accepted)).toEqual(ids.map((messageId) => ({ messageId })));
  expect(accepted.delays).toEqual([-1, 5]);
  expect(accepted.bytes).toBe(Buffer.byteLength(accepted.lines.join("")));
});

test("a refused message has no line, and the ids of the others stay where they are", () => {
  const accepted = acceptMessages([{ body: "a" }, { body: "" }, { body: "c" }], 1_024);
  expect(accepted.lines).toHaveLength(2);
  const results = resultsOf({
    ...accepted,
    firstMessageId: "01a2078b-c2e1-72d7-9042-ec9400000000",
  });
  expect(results).toMatchObject([
    { messageId: "01a2078b-c2e1-72d7-9042-ec9400000000" },
    { error: { code: "invalid_message" } },
    { messageId: "01a2078b-c2e1-72d7-9042-ec9400000002" },
  ]);
});
