import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { checkShape } from "./json-shape.ts";

function codeOf(text: string): string | undefined {
  try {
    checkShape(text);
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("passes", () => {
  test("any value that is not extreme, however it is written", () => {
    const key = fc.string({ unit: "binary" }).filter((text) => text !== "__proto__");
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small", maxDepth: 20 },
        fc.string({ unit: "binary" }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.constantFrom(null, true, false, '"', "\\", '\\"', "{[,:]}", '","a":"', "__proto__"),
        fc.array(tie("value")),
        fc.dictionary(key, tie("value")),
      ),
    }));
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (of, indent) => {
        expect(codeOf(JSON.stringify(of, null, indent))).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  test("text that is no JSON, which the parser refuses", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...'{}[]:,"\\ a1')).map((parts) => parts.join("")),
        (text) => {
          expect(["malformed_json", undefined]).toContain(codeOf(text));
        },
      ),
    );
  });

  test.each([
    ["the same key in objects beside and inside each other", '[{"a":1},{"a":{"a":1}}]'],
    ["a value like a key before it", '{"a":"a","b":"a"}'],
    ["keys that differ in their case", '{"a":1,"A":2}'],
    ["brackets in strings", `"${"[{".repeat(100)}"`],
    ["__proto__ as a value and inside of others", '{"a":"__proto__","x__proto__":["__proto__"]}'],
  ])("%s", (_, text) => {
    expect(codeOf(text)).toBeUndefined();
  });
});

describe("refuses", () => {
  test.each([
    ["nesting above 32", "[".repeat(33)],
    ["nesting of both kinds", '{"a":['.repeat(17)],
    ["a key twice", '{"a":1,"b":2,"a":3}'],
    ["a key twice, deep inside", '{"x":[{"y":{"a":1,"a":1}}]}'],
    ["a key twice with blanks around it", '{ "a" : 1 ,\n"a" : 2 }'],
    ["a key twice, one of them escaped", String.raw`{"a":1,"\u0061":2}`],
    ["an escaped key twice", String.raw`{"\"":1,"\u0022":2}`],
    ["a key twice after a value with brackets", '{"a":"}","a":1}'],
  ])("%s", (_, text) => {
    expect(codeOf(text)).toBe("malformed_json");
  });

  test.each([
    ["__proto__", '{"__proto__":1}'],
    ["__proto__ anywhere", '[{"a":{"__proto__":null}}]'],
    ["__proto__ escaped", String.raw`{"__\u0070roto__":1}`],
    ["1,001 keys", `{${Array.from({ length: 1_001 }, (_, index) => `"${index}":0`).join()}}`],
    ["10,001 entries", `[${"0,".repeat(10_000)}0]`],
    ["10,001 empty entries", `[${"[],".repeat(10_000)}[]]`],
  ])("%s", (_, text) => {
    expect(codeOf(text)).toBe("invalid_request");
  });
});

test("the nesting and the numbers that are allowed, pass", () => {
  expect(codeOf("[".repeat(32) + "]".repeat(32))).toBeUndefined();
  expect(codeOf(`[${"0,".repeat(9_999)}0]`)).toBeUndefined();
  const keys = Array.from({ length: 1_000 }, (_, index) => `"${index}":0`);
  expect(codeOf(`{${keys.join()}}`)).toBeUndefined();
});

/** CPU time of the quickest of three calls, in µs: of the time of day others take what they like. */
function timeOf(call: () => unknown): number {
  const times = [1, 2, 3].map(() => {
    const start = process.cpuUsage();
    call();
    const { user, system } = process.cpuUsage(start);
    return user + system;
  });
  return Math.min(...times);
}

test("megabytes of anything are looked at as quickly as the parser reads its costliest", () => {
  const size = 2_000_000;
  const lists = `[${"[],".repeat(size / 3)}[]]`;
  const parsing = timeOf(() => JSON.parse(lists) as unknown);
  for (const piece of ["\\", '"', '\\"', '""', "{", '{"a":', "],", ":", "[[]]", '"\\\\"']) {
    const text = piece.repeat(Math.floor(size / piece.length));
    // A third of that at most where nothing else runs.
    expect(
      timeOf(() => codeOf(text)),
      piece,
    ).toBeLessThan(2 * parsing);
    expect(
      timeOf(() => codeOf(`"${text}`)),
      `" and ${piece}`,
    ).toBeLessThan(2 * parsing);
  }
});
