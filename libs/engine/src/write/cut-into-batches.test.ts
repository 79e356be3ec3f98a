import fc from "fast-check";
import { expect, test } from "vitest";

import type { AcceptedMessage } from "../message/accept-messages.ts";
import { cutIntoBatches, MAX_BATCH_MESSAGES } from "./cut-into-batches.ts";

const KIB = 1024;

interface Call {
  account: string;
  targetId: string;
  messages: AcceptedMessage[];
}

function request(targetId: string, lines: readonly string[], delays?: number[]): Call {
  const messages = lines.map((line, index) => ({
    line,
    bytes: Buffer.byteLength(line),
    delay: delays?.[index] ?? -1,
    groupId: "",
  }));
  return { account: "000000000000", targetId, messages };
}

/** The batches with what their messages have, in order of their bits. */
function cut(requests: readonly Call[]) {
  return cutIntoBatches(requests).map(({ targetId, messages, requests: calls }) => ({
    targetId,
    lines: messages.map(({ line }) => line),
    delays: messages.map(({ delay }) => delay),
    calls,
  }));
}

test("each message of a batch knows the call it came from", () => {
  const calls = [request("1", ["a", "b"]), request("1", ["c"])];
  expect(cut(calls)[0]?.calls).toEqual([calls[0], calls[0], calls[1]]);
});

test("messages of several calls to one topic share a batch, in order of arrival", () => {
  const batches = cut([request("1", ["a", "b"]), request("1", ["c"])]);
  expect(batches.map(({ lines }) => lines)).toEqual([["a", "b", "c"]]);
});

test("each topic has batches of its own", () => {
  const batches = cut([request("1", ["a"]), request("2", ["b"]), request("1", ["c"])]);
  expect(batches.map(({ targetId, lines }) => [targetId, lines])).toEqual([
    ["1", ["a", "c"]],
    ["2", ["b"]],
  ]);
});

test("a batch ends at 63 messages", () => {
  const lines = Array.from({ length: 130 }, (_, index) => String(index));
  const batches = cut([request("1", lines)]);
  expect(batches.map((batch) => batch.lines.length)).toEqual([63, 63, 4]);
  expect(batches.flatMap((batch) => batch.lines)).toEqual(lines);
});

test("a batch ends at its bytes, and a big message has one of its own", () => {
  const [small, half, big] = ["s", "h".repeat(100 * KIB), "b".repeat(300 * KIB)];
  const lines = [small, big, small, half, half, half, small];
  const batches = cut([request("1", lines)]);
  expect(batches.map((batch) => batch.lines.map((line) => line[0]).join(""))).toEqual([
    "s",
    "b",
    "shh",
    "hs",
  ]);
});

test("a message keeps its delay", () => {
  const [batch] = cut([request("1", ["a", "b"], [5, -1]), request("1", ["c"])]);
  expect(batch?.delays).toEqual([5, -1, -1]);
});

test("nothing is lost, doubled or reordered, whatever the calls", () => {
  const calls = fc.array(
    fc.record({
      target: fc.constantFrom("1", "2", "3"),
      sizes: fc.array(fc.oneof(fc.nat({ max: 100 }), fc.integer({ min: 1, max: 400 * KIB })), {
        minLength: 1,
        maxLength: 150,
      }),
    }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(calls, (script) => {
      let count = 0;
      const requests = script.map(({ target, sizes }) => {
        const lines = sizes.map((size) => `${(count += 1)}:`.padEnd(size, "x"));
        return request(
          target,
          lines,
          lines.map(() => count),
        );
      });
      const batches = cut(requests);
      for (const { lines, delays } of batches) {
        expect(lines.length).toBeGreaterThanOrEqual(1);
        expect(lines.length).toBeLessThanOrEqual(MAX_BATCH_MESSAGES);
        expect(delays).toHaveLength(lines.length);
        const bytes = lines.reduce((sum, line) => sum + line.length, 0);
        expect(lines.length === 1 || bytes <= 256 * KIB).toBe(true);
      }
      for (const target of ["1", "2", "3"]) {
        expect(
          batches.filter((batch) => batch.targetId === target).flatMap(({ lines }) => lines),
        ).toEqual(
          requests
            .filter((call) => call.targetId === target)
            .flatMap(({ messages }) => messages.map(({ line }) => line)),
        );
      }
    }),
    { numRuns: 30 },
  );
});
