import { SluiceError } from "@sluice/client";
import { expect, test } from "vitest";
import { PublishError } from "./publish-error.ts";

test("it is a SluiceError that carries every message's result in order", () => {
  const tooLarge = new SluiceError("message_too_large", "1,048,577 bytes");
  const error = new PublishError([{ messageId: "a" }, { error: tooLarge }, { messageId: "c" }]);
  expect(error).toBeInstanceOf(SluiceError);
  expect(error).toMatchObject({ code: "publish_failed", retryable: false });
  expect(error.message).toBe(
    "1 of 3 messages failed, the first with message_too_large: 1,048,577 bytes",
  );
  expect(error.details).toEqual([
    { path: "payloads.1", message: "message_too_large: 1,048,577 bytes" },
  ]);
  expect(error.outcomeUnknown).toBe(false);
  expect(new PublishError([{ error: new SluiceError("timeout", "x") }]).outcomeUnknown).toBe(true);
  expect(error.results.map(({ messageId }) => messageId)).toEqual(["a", undefined, "c"]);
});

test("as JSON it has the result of each message, with the message of each error", () => {
  const tooLarge = new SluiceError("message_too_large", "1,048,577 bytes");
  const error = new PublishError([{ messageId: "a" }, { error: tooLarge }]);
  expect(JSON.parse(JSON.stringify(error))).toMatchObject({
    name: "PublishError",
    code: "publish_failed",
    message: error.message,
    results: [
      { messageId: "a" },
      { error: { code: "message_too_large", message: "1,048,577 bytes" } },
    ],
  });
});
