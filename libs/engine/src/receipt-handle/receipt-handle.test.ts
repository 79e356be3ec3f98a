import { randomBytes } from "node:crypto";

import fc from "fast-check";
import { expect, test } from "vitest";

import { bitCharacter, ReceiptHandles, type SliceHandle } from "./receipt-handle.ts";

const handles = new ReceiptHandles(randomBytes(32));
const id = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const slice: fc.Arbitrary<SliceHandle> = fc.record({
  queueId: id.map(String),
  batchId: id.map(String),
  lease: id.map(String),
  visibleAt: id,
});
const bit = fc.integer({ min: 0, max: 62 });
const example = {
  queueId: "7",
  batchId: "123456789",
  lease: "42",
  visibleAt: Date.UTC(2026, 10, 23),
};

test("any process with the same key reads what one made", () => {
  const key = randomBytes(32);
  fc.assert(
    fc.property(slice, bit, (of, at) => {
      const token = new ReceiptHandles(key).prefix(of) + bitCharacter(at);
      expect(new ReceiptHandles(key).read(token)).toEqual({ ...of, bit: at });
    }),
  );
});

test("handles are 49 characters that need no escaping anywhere", () => {
  fc.assert(
    fc.property(slice, bit, (of, at) => {
      expect(handles.prefix(of) + bitCharacter(at)).toMatch(/^[A-Za-z0-9_-]{49}$/);
    }),
  );
});

test("handles of one slice are read one after the other", () => {
  const prefix = handles.prefix(example);
  for (let at = 0; at < 63; at += 1) {
    expect(handles.read(prefix + bitCharacter(at))).toEqual({ ...example, bit: at });
  }
});

test("a handle with any other character before its last one is not read", () => {
  const token = handles.prefix(example) + bitCharacter(3);
  expect(handles.read(token)).toBeDefined();
  for (let index = 0; index < token.length - 1; index += 1) {
    const other = token[index] === "A" ? "B" : "A";
    expect(handles.read(token.slice(0, index) + other + token.slice(index + 1))).toBeUndefined();
  }
  expect(handles.read(token)).toBeDefined();
});

test("a handle with any bit flipped in its bytes is not read", () => {
  const bytes = Buffer.from(handles.prefix(example), "base64url");
  for (let position = 0; position < bytes.length * 8; position += 1) {
    const flipped = Buffer.from(bytes);
    flipped[position >> 3] = (flipped[position >> 3] ?? 0) ^ (1 << (position & 7));
    expect(handles.read(`${flipped.toString("base64url")}A`)).toBeUndefined();
  }
});

test("a handle made with another key is not read", () => {
  const other = new ReceiptHandles(randomBytes(32));
  expect(handles.read(other.prefix(example) + bitCharacter(0))).toBeUndefined();
});

test.each([
  ["nothing", ""],
  ["the prefix alone", handles.prefix(example)],
  ["one character too many", `${handles.prefix(example)}AA`],
  ["a bit that no message has", `${handles.prefix(example)}_`],
  ["padding", `${handles.prefix(example)}=`],
  ["a line break", `${handles.prefix(example)}A\n`],
  ["standard base64", `${handles.prefix(example).replace(/.$/, "+")}A`],
  ["zeros", "A".repeat(49)],
])("%s is not read", (_, token) => {
  expect(handles.read(token)).toBeUndefined();
});

test("no text that was not made here is read", () => {
  const token = fc.oneof(fc.string(), fc.base64String(), fc.string({ unit: "grapheme" }));
  fc.assert(
    fc.property(token, (text) => {
      expect(handles.read(text)).toBeUndefined();
    }),
  );
});
