import fc from "fast-check";
import { expect, test } from "vitest";
import { callBody, maxBytesPerCall, maxMessagesPerCall, splitIntoChunks } from "./chunks.ts";

const sizes = (entries: string[]) => splitIntoChunks(entries).map(({ from, to }) => to - from);
const bytes = (text: string) => new TextEncoder().encode(text).length;

test("a thousand messages go in a call", () => {
  expect(sizes(Array<string>(2_500).fill('{"body":"x"}'))).toEqual([1_000, 1_000, 500]);
});

test("no messages are no call", () => {
  expect(splitIntoChunks([])).toEqual([]);
});

test("bytes are counted as UTF-8", () => {
  // Three bytes a character: four of these are more than a call takes, though a third of it in characters.
  const entry = JSON.stringify({ body: "€".repeat(349_525) });
  expect(sizes(Array<string>(7).fill(entry))).toEqual([3, 3, 1]);
});

test("whatever the sizes, calls stay within the limits, keep the order and lose nothing", () => {
  const entry = fc
    .tuple(fc.constantFrom("x", "ü", "€", "😀"), fc.integer({ min: 1, max: 300_000 }))
    .map(([character, count]) => JSON.stringify({ body: character.repeat(count) }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 40 }), (entries) => {
      const chunks = splitIntoChunks(entries);
      const bodies = chunks.map(({ from, to }) => callBody(entries.slice(from, to)));
      for (const body of bodies) expect(bytes(body)).toBeLessThanOrEqual(maxBytesPerCall);
      for (const { from, to } of chunks) expect(to - from).toBeLessThanOrEqual(maxMessagesPerCall);
      const sent = bodies.flatMap((body) => (JSON.parse(body) as { messages: unknown[] }).messages);
      expect(sent.map((message) => JSON.stringify(message))).toEqual(entries);
    }),
    { numRuns: 20 },
  );
});

test("a call is filled to the last byte", () => {
  const room = maxBytesPerCall - '{"messages":[]}'.length;
  const half = (room - 1) / 2; // with a comma between them
  const entries = ["x".repeat(Math.floor(half)), "x".repeat(Math.floor(half))];
  expect(sizes(entries)).toEqual([2]);
});

test("a message larger than a call is refused before anything is sent", () => {
  const refusal = expect.objectContaining({
    code: "message_too_large",
    details: [expect.objectContaining({ path: "payloads.1" })],
  });
  expect(() => splitIntoChunks(["{}", "x".repeat(maxBytesPerCall)])).toThrow(refusal);
});
