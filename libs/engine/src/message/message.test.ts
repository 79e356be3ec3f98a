import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { checkMessage, serializeMessage, type MessageInput } from "./message.ts";

const LIMIT = 262_144;

function codeOf(message: MessageInput, limit = LIMIT): string | undefined {
  return checkMessage(message, limit)?.code;
}

function withAttribute(name: string, type: string, value: string): MessageInput {
  return { body: "b", attributes: { [name]: { type, value } } };
}

describe("a body", () => {
  test("may have every character that XML 1.0 can carry", () => {
    const body = "\t\n\r \u007f\ud7ff\ue000\ufffd\u{10000}\u{10ffff}";
    expect(codeOf({ body })).toBeUndefined();
  });

  test.each([
    ["NUL", "\u0000"],
    ["a bell", "\u0007"],
    ["a vertical tab", "\u000b"],
    ["the record separator", "\u001e"],
    ["a high surrogate alone", "\ud800"],
    ["a low surrogate alone", "\udc00"],
    ["surrogates the wrong way round", "\udc00\ud800"],
    ["a noncharacter", "\ufffe"],
    ["the other noncharacter", "\uffff"],
  ])("with %s is refused", (_, character) => {
    expect(codeOf({ body: `before${character}after` })).toBe("invalid_message");
  });

  test("that is empty is refused", () => {
    expect(codeOf({ body: "" })).toBe("invalid_message");
  });

  test("is measured in bytes", () => {
    expect(codeOf({ body: "x".repeat(1_024) }, 1_024)).toBeUndefined();
    expect(codeOf({ body: "x".repeat(1_025) }, 1_024)).toBe("message_too_large");
    expect(codeOf({ body: "é".repeat(513) }, 1_024)).toBe("message_too_large");
  });
});

describe("attributes", () => {
  test.each(["a", "A-1_b.c", "x".repeat(256), "aws", "amazonia", "constructor", "toString"])(
    "may be named %s",
    (name) => {
      expect(codeOf(withAttribute(name, "String", "v"))).toBeUndefined();
    },
  );

  test.each([
    "",
    ".a",
    "a.",
    "a..b",
    "a b",
    "ä",
    "a\n",
    "x".repeat(257),
    "AWS.a",
    "aws.a",
    "Amazon.a",
    "aMaZoN.a",
    "\u212a",
  ])("named %j are refused", (name) => {
    expect(codeOf(withAttribute(name, "String", "v"))).toBe("invalid_attribute");
  });

  test.each([
    "String",
    "Number",
    "Binary",
    "String.label",
    "Number.int",
    "String.a.b-c_d",
    "String. a b",
  ])("may have the type %s", (type) => {
    expect(codeOf(withAttribute("a", type, "1111"))).toBeUndefined();
  });

  test.each([
    "",
    "string",
    "Strings",
    "String.",
    "StringLabel",
    "Boolean",
    "String .a",
    "String.a\tb",
    "String.a\nb",
    "String.\u0000",
    "String.\u0007",
    "String.\ud800",
    "Number.\ufffe",
    `String.${"x".repeat(250)}`,
  ])("of the type %j are refused", (type) => {
    expect(codeOf(withAttribute("a", type, "1111"))).toBe("invalid_attribute");
  });

  test.each(["0", "-1", "+1.5", ".5", "5.", "1e10", "-1.25E-3", "0".repeat(1_000)])(
    "may be the number %s",
    (value) => {
      expect(codeOf(withAttribute("a", "Number", value))).toBeUndefined();
    },
  );

  test.each([
    "",
    " 1",
    "1 ",
    "a",
    "1,5",
    "0x1",
    "NaN",
    "Infinity",
    "1e",
    "--1",
    ".",
    "1e1000",
    "١",
  ])("are not the number %j", (value) => {
    expect(codeOf(withAttribute("a", "Number", value))).toBe("invalid_attribute");
  });

  test.each(["AA==", "AAA=", "AAAA", "+/+/"])("may be the bytes %s", (value) => {
    expect(codeOf(withAttribute("a", "Binary", value))).toBeUndefined();
  });

  test.each(["", "A", "AA", "AAA", "AA=", "====", "AA==A", "-_-_", "A A=", "AAAA\n"])(
    "are not the bytes %j",
    (value) => {
      expect(codeOf(withAttribute("a", "Binary", value))).toBe("invalid_attribute");
    },
  );

  test.each(["", "a\u0000b", "\ud800"])("are not the text %j", (value) => {
    expect(codeOf(withAttribute("a", "String", value))).toBe("invalid_attribute");
  });

  test("are ten at most", () => {
    const attributes = (count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, index) => [`a${index}`, { type: "String", value: "v" }]),
      );
    expect(codeOf({ body: "b", attributes: attributes(10) })).toBeUndefined();
    expect(codeOf({ body: "b", attributes: attributes(11) })).toBe("invalid_attribute");
  });

  test("count towards the size: name, type and value, a Binary by its bytes", () => {
    const text = { body: "x".repeat(1_000), attributes: { abc: { type: "String", value: "é" } } };
    const size = 1_000 + 3 + 6 + 2;
    expect(codeOf(text, size)).toBeUndefined();
    expect(codeOf(text, size - 1)).toBe("message_too_large");
    const binary = { body: "x", attributes: { a: { type: "Binary", value: "AAAA" } } };
    expect(codeOf(binary, 1 + 1 + 6 + 3)).toBeUndefined();
    expect(codeOf(binary, 1 + 1 + 6 + 2)).toBe("message_too_large");
  });
});

describe("input that is as large as a request may be is checked in a moment:", () => {
  const MANY = 8_000_000;

  test.each([
    ["digits that are no number", "Number", `${"1".repeat(MANY)}x`],
    ["digits that are no number, below the limit", "Number", `${"1".repeat(LIMIT - 100)}x`],
    ["base64 that is none", "Binary", `${"A".repeat(MANY)}!`],
    ["base64", "Binary", "A".repeat(MANY)],
    ["text", "String", "a".repeat(MANY)],
    ["text that ends badly", "String", `${"a".repeat(LIMIT - 100)}\u0000`],
  ])("%s", (_, type, value) => {
    expect(["invalid_attribute", "message_too_large"]).toContain(
      codeOf(withAttribute("a", type, value)),
    );
  });

  test("a name", () => {
    expect(codeOf(withAttribute("a.".repeat(MANY / 2), "String", "v"))).toBeDefined();
  });

  test("a type", () => {
    expect(codeOf(withAttribute("a", `String.${"a".repeat(MANY)}`, "v"))).toBeDefined();
  });
});

describe("a stored line", () => {
  const text = fc.string({ unit: "grapheme", minLength: 1 });
  const anyMessage = fc.record(
    {
      body: text,
      subject: text,
      groupId: text,
      attributes: fc.dictionary(
        fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/),
        fc.record({ type: fc.constantFrom("String", "Number.x"), value: text }),
      ),
    },
    { requiredKeys: ["body"] },
  );

  test("is the message, whatever it says", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const parsed = JSON.parse(`{${serializeMessage(message)}}`) as object;
        expect(parsed).toEqual({ attributes: {}, ...message });
      }),
    );
  });

  test("has nothing that parts lines or payloads", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (body) => {
        // oxlint-disable-next-line no-control-regex -- they are what must not be there
        expect(serializeMessage({ body })).not.toMatch(/[\u0000-\u001f]/);
      }),
    );
  });
});
