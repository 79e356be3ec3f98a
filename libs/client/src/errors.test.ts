import { expect, expectTypeOf, test } from "vitest";
import { SluiceError, errorCodes } from "./errors.ts";
import type { SluiceErrorCode } from "./errors.ts";

test("whether an error is retryable follows from its code alone", () => {
  const codes = Object.keys(errorCodes) as SluiceErrorCode[];
  const retryable = codes.filter((code) => new SluiceError(code, "x").retryable);
  expect(retryable).toEqual([
    "over_limit",
    "too_many_requests",
    "internal",
    "unavailable",
    "network",
    "timeout",
  ]);
});

test("whether the call may have been carried out follows from code and status, unless it is told", () => {
  const codes = Object.keys(errorCodes) as SluiceErrorCode[];
  expect(codes.filter((code) => new SluiceError(code, "x").outcomeUnknown)).toEqual([
    "internal",
    "unavailable",
    "network",
    "timeout",
    "aborted",
    "unexpected_response",
  ]);
  const unexpected = (status: number) => new SluiceError("unexpected_response", "x", { status });
  expect([200, 302, 404].map((status) => unexpected(status).outcomeUnknown)).toEqual([
    true,
    false,
    false,
  ]);
  const told = (outcomeUnknown: boolean) => new SluiceError("network", "x", { outcomeUnknown });
  expect([told(true).outcomeUnknown, told(false).outcomeUnknown]).toEqual([true, false]);
});

test("the cause is kept and left out when there is none", () => {
  const cause = new Error("socket hang up");
  expect(new SluiceError("network", "x", { cause }).cause).toBe(cause);
  expect("cause" in new SluiceError("network", "x")).toBe(false);
});

test("as JSON it has its message, and what it tells besides", () => {
  const details = [{ path: "delay", message: "at least 0" }];
  const error = new SluiceError("invalid_request", "no", {
    status: 400,
    details,
    cause: new Error(),
  });
  expect(JSON.parse(JSON.stringify({ error }))).toEqual({
    error: {
      name: "SluiceError",
      code: "invalid_request",
      message: "no",
      retryable: false,
      status: 400,
      details,
      outcomeUnknown: false,
    },
  });
});

test("the codes are a closed union", () => {
  expectTypeOf<"queue_not_found">().toExtend<SluiceErrorCode>();
  // @ts-expect-error no such code
  new SluiceError("queue_missing", "x");
});
