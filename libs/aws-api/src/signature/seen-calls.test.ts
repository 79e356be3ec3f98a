import { expect, test } from "vitest";

import { SeenCalls } from "./seen-calls.ts";

const refused = expect.objectContaining({
  form: expect.objectContaining({ code: "SignatureDoesNotMatch" }),
});
const purge = { service: "sqs", action: "PurgeQueue" } as const;
const signedWith = (signature: string | undefined, keyId = "key") => ({ keyId, signature });

test("a change is made again within seconds, as clients do that had no answer, and not later", () => {
  const calls = new SeenCalls();
  calls.check(signedWith("a"), purge, 0);
  calls.check(signedWith("a"), purge, 10_000);
  expect(() => {
    calls.check(signedWith("a"), purge, 10_001);
  }).toThrow(refused);
  // As long as the signature of a clock that is 15 minutes fast would count.
  expect(() => {
    calls.check(signedWith("b"), purge, 30 * 60_000);
    calls.check(signedWith("a"), purge, 30 * 60_000);
  }).toThrow(refused);
});

test("what changes no queue or topic, and what is signed in a URL, is made as often as it comes", () => {
  const calls = new SeenCalls();
  for (const now of [0, 60_000]) {
    calls.check(signedWith("a"), { service: "sqs", action: "ReceiveMessage" }, now);
    calls.check(signedWith("a"), { service: "sns", action: "Publish" }, now);
    calls.check(signedWith(undefined), purge, now);
  }
});

test("however much one key changes, the calls of another are remembered", () => {
  const calls = new SeenCalls();
  calls.check(signedWith("a"), purge, 0);
  for (let index = 0; index < 10_001; index += 1) {
    calls.check(signedWith(`${index}`, "busy"), purge, 0);
  }
  expect(() => {
    calls.check(signedWith("a"), purge, 20_000);
  }).toThrow(refused);
  expect(() => {
    calls.check(signedWith("10000", "busy"), purge, 20_000);
  }).toThrow(refused);
  // The oldest of too many is forgotten.
  calls.check(signedWith("0", "busy"), purge, 20_000);
});
