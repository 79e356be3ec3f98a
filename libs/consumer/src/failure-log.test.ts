import { SluiceError } from "@sluice/client";
import { afterEach, expect, test, vi } from "vitest";
import { FailureLog } from "./failure-log.ts";
import type { ReceivedMessage } from "./received-message.ts";

const console = vi.spyOn(globalThis.console, "error").mockImplementation(() => {});
afterEach(() => console.mockClear());

const messagesOf = (count: number) =>
  Array.from({ length: count }, (_, id) => ({ id: `m${id}` }) as ReceivedMessage<unknown>);

test("a failure is one line with its messages, what is wrong and its code", () => {
  const error = new SluiceError("receipt_handle_expired", "Another consumer\nhas it.", {
    cause: new Error("not shown"),
  });
  new FailureLog("billing").failed({ stage: "acknowledge", error, messages: messagesOf(12) });
  expect(console.mock.calls).toEqual([
    [
      "Sluice consumer of billing: acknowledge failed m0 m1 m2 m3 m4 m5 m6 m7 m8 m9 and 2 more: " +
        "Another consumer has it. (receipt_handle_expired)",
    ],
  ]);
});

test("receives that fail are told of once, and again after they have worked", () => {
  const log = new FailureLog("billing");
  const error = new SluiceError("network", "No answer.");
  const fail = () => log.failed({ stage: "receive", error, messages: [] });
  const first =
    "Sluice consumer of billing: receive failed, and is tried until it succeeds: No answer. (network)";
  log.back();
  fail();
  fail();
  expect(console.mock.calls).toEqual([[first]]);
  log.back();
  log.back();
  fail();
  expect(console.mock.calls).toEqual([
    [first],
    ["Sluice consumer of billing: receives again"],
    [first],
  ]);
});

test("what a handler throws is shown as a whole", () => {
  const error = new Error("no luck");
  new FailureLog("billing").failed({ stage: "handle", error, messages: messagesOf(1) });
  expect(console.mock.calls).toEqual([["Sluice consumer of billing: handle failed m0", error]]);
});
