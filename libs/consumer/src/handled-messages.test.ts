import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HandledMessages } from "./handled-messages.ts";
import type { HeldMessage } from "./held-message.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

const message = (id: string, firstReceivedAt = "2026-11-30T00:00:00.000Z") =>
  ({ id, receipt: { firstReceivedAt } }) as unknown as HeldMessage;

test("a message is known once", () => {
  const handled = new HandledMessages();
  handled.add(message("a"));
  expect(handled.take(message("b"))).toBe(false);
  expect(handled.take(message("a"))).toBe(true);
  expect(handled.take(message("a"))).toBe(false);
});

test("what is sent anew under the same id is another message", () => {
  const handled = new HandledMessages();
  handled.add(message("a"));
  expect(handled.take(message("a", "2026-11-30T00:00:01.000Z"))).toBe(false);
});

test("the newest 10,000 are known, for an hour", () => {
  const handled = new HandledMessages();
  handled.add(message("first"));
  handled.add(message("second"));
  for (let index = 1; index < 10_000; index++) handled.add(message(String(index)));
  expect(handled.take(message("first"))).toBe(false);
  expect(handled.take(message("second"))).toBe(true);
  vi.advanceTimersByTime(3_600_000);
  expect(handled.take(message("9999"))).toBe(false);
});
