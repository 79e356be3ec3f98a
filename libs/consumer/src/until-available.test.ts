import { connect, queue } from "@sluice/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createConsumer } from "./consumer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([2_592_000, 3_600])(
  "a server that asks to be left alone for %d s is asked again after a minute",
  async (seconds) => {
    let calls = 0;
    const fetch = () => {
      calls++;
      const headers = { "retry-after": String(seconds) };
      return Promise.resolve(new Response("", { status: 503, headers }));
    };
    const connection = connect({ url: "http://127.0.0.1:1", fetch });
    const consumer = createConsumer(connection, queue("orders"), { onError: () => {} });
    const run = consumer.run(() => {});
    await vi.advanceTimersByTimeAsync(59_900);
    expect(calls).toBe(1);
    // With the jitter of the first repeat.
    await vi.advanceTimersByTimeAsync(300);
    expect(calls).toBe(2);
    await consumer.stop();
    await run;
  },
);
