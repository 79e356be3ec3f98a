import { expect, test } from "vitest";
import { entryError, listOf, parseRetryAfter, readAnswer } from "./answer.ts";
import type { SluiceError } from "./errors.ts";

function refused(status: number, text: string, retryAfter: string | null = null): SluiceError {
  try {
    readAnswer("GET /v1/topics", { status, text, retryAfter });
  } catch (error) {
    return error as SluiceError;
  }
  throw new Error("not refused");
}

test("a success is its JSON, and undefined without a body", () => {
  expect(readAnswer("GET /", { status: 200, text: '{"a":1}', retryAfter: null })).toEqual({ a: 1 });
  expect(readAnswer("DELETE /", { status: 204, text: "", retryAfter: null })).toBeUndefined();
});

test("the server's error comes with its code, status, details and Retry-After", () => {
  const details = [{ path: "messages.0.body", message: "required" }];
  const text = JSON.stringify({ error: { code: "invalid_request", message: "Mend it.", details } });
  expect(refused(400, text)).toMatchObject({
    code: "invalid_request",
    message: "Mend it.",
    status: 400,
    details,
  });
  const away = refused(503, '{"error":{"code":"unavailable","message":"Back soon."}}', "2");
  expect(away).toMatchObject({ code: "unavailable", retryable: true, retryAfterMs: 2000 });
});

test.each([
  [413, "request_too_large"],
  [429, "too_many_requests"],
  [500, "internal"],
  [502, "unavailable"],
  [503, "unavailable"],
  [504, "unavailable"],
  [404, "unexpected_response"],
  [302, "unexpected_response"],
])("a proxy's own page with status %i means %s", (status, code) => {
  expect(refused(status, "<html>Bad</html>")).toMatchObject({ code, status });
});

test("a code of a newer server is mapped by its status and kept in the message", () => {
  const error = refused(503, '{"error":{"code":"moving_house","message":"Back soon."}}');
  expect(error.code).toBe("unavailable");
  expect(error.message).toContain("moving_house: Back soon.");
  expect(entryError({ code: "too_heavy", message: "x" })).toMatchObject({
    code: "unexpected_response",
  });
});

test("a success that is not JSON is an unexpected response", () => {
  expect(refused(200, "<html>Please log in</html>").code).toBe("unexpected_response");
});

test("a list that is missing or of another length is an unexpected response", () => {
  expect(listOf({ results: [1, 2] }, "results", 2)).toEqual([1, 2]);
  const unexpected = expect.objectContaining({ code: "unexpected_response" });
  expect(() => listOf({ results: [1] }, "results", 2)).toThrow(unexpected);
  expect(() => listOf(undefined, "results")).toThrow(unexpected);
});

test("Retry-After is read as seconds or as a date", () => {
  const now = Date.parse("2026-11-23T10:00:00Z");
  expect(parseRetryAfter("3", now)).toBe(3000);
  expect(parseRetryAfter("Mon, 23 Nov 2026 10:00:05 GMT", now)).toBe(5000);
  expect(parseRetryAfter("Mon, 23 Nov 2026 09:00:00 GMT", now)).toBe(0);
  expect(parseRetryAfter("soon", now)).toBeUndefined();
  expect(parseRetryAfter(null, now)).toBeUndefined();
});
