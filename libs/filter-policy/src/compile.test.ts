import { describe, expect, test } from "vitest";

import { compile, type FilterScope } from "./compile.ts";
import { FilterPolicyError } from "./filter-policy-error.ts";
import { FilteredMessage, type FilterableMessage } from "./filtered-message.ts";

type Attributes = FilterableMessage["attributes"];

const text = (value: string) => ({ type: "String", value });
const number = (value: string) => ({ type: "Number", value });
const list = (...values: unknown[]) => ({ type: "String.Array", value: JSON.stringify(values) });

function acceptsAttributes(policy: object, attributes: Attributes): boolean {
  return compile(policy, "MessageAttributes").accepts(
    new FilteredMessage({ body: "", attributes }),
  );
}

function acceptsBody(policy: object, body: unknown): boolean {
  const message = new FilteredMessage({
    body: typeof body === "string" ? body : JSON.stringify(body),
    attributes: {},
  });
  return compile(policy, "MessageBody").accepts(message);
}

/** Operator, rule, values that it accepts, values that it does not; the values are leaves of JSON. */
const operators: [string, unknown, unknown[], unknown[]][] = [
  ["a string", "rugby", ["rugby"], ["Rugby", "rugb", "", 1, true, null]],
  ["a number", 100, [100, 1e2, 100.000001], ["100", 100.1, -100, null]],
  ["a boolean", true, [true], [false, "true", 1, null]],
  ["null", null, [null], ["null", 0, false, ""]],
  ["anything-but one", { "anything-but": "rugby" }, ["tennis", "Rugby", 1, true, null], ["rugby"]],
  [
    "anything-but several",
    { "anything-but": ["rugby", 100] },
    ["tennis", 101, "100"],
    ["rugby", 100],
  ],
  [
    "anything-but a prefix",
    { "anything-but": { prefix: "order-" } },
    ["item-1", "order", 1],
    ["order-1", "order-"],
  ],
  [
    "anything-but prefixes",
    { "anything-but": { prefix: ["order-", "item-"] } },
    ["pay-1"],
    ["order-1", "item-1"],
  ],
  [
    "anything-but prefixes of which some begin alike",
    { "anything-but": { prefix: ["b", "ab", "abc", "a-", "\u{1F600}", "\uFFFD"] } },
    ["a", "ac", "", "\u{1F601}", 1],
    ["ab", "abc", "abd", "a-b", "b", "bz", "\u{1F600}x", "\uFFFDx"],
  ],
  [
    "anything-but suffixes of which some end alike",
    { "anything-but": { suffix: ["b", "ba", "cba", "\u{1F600}"] } },
    ["a", "ca", "", "\u{1F601}", 1],
    ["ba", "xba", "cba", "b", "zb", "x\u{1F600}"],
  ],
  ["anything-but a suffix", { "anything-but": { suffix: "ball" } }, ["tennis"], ["baseball"]],
  [
    "anything-but, ignoring case",
    { "anything-but": { "equals-ignore-case": ["tennis", "rugby"] } },
    ["golf"],
    ["TENNIS", "Rugby"],
  ],
  [
    "anything-but a wildcard",
    { "anything-but": { wildcard: "*/lib/*" } },
    ["a/libs/b"],
    ["a/lib/b", "/lib/"],
  ],
  ["a prefix", { prefix: "bas" }, ["baseball", "bas"], ["rugby", "Baseball", "ba", 1, null]],
  ["an empty prefix", { prefix: "" }, ["x", ""], [1, null]],
  ["an empty suffix", { suffix: "" }, ["x", ""], [1, null]],
  ["an empty text, ignoring case", { "equals-ignore-case": "" }, [""], ["x", null]],
  ["an empty wildcard", { wildcard: "" }, [""], ["x"]],
  ["anything-but an empty wildcard", { "anything-but": { wildcard: "" } }, ["x"], [""]],
  ["a suffix", { suffix: "ball" }, ["baseball", "ball"], ["BALL", "all", 1]],
  ["equals-ignore-case", { "equals-ignore-case": "tennis" }, ["tennis", "TeNNis"], ["tenni", 1]],
  ["a wildcard at the end", { wildcard: "bas*" }, ["bas", "baseball"], ["ba", "abas", 1]],
  ["a wildcard inside", { wildcard: "a*b*c" }, ["abc", "a-b-b-c", "aabbcc"], ["acb", "ab", "abcd"]],
  [
    "a wildcard whose ends overlap",
    { wildcard: "aba*aba" },
    ["abaaba", "abaxaba"],
    ["aba", "ababa"],
  ],
  ["a wildcard with escapes", { wildcard: String.raw`\*\\*` }, [String.raw`*\x`], ["x", "*x"]],
  ["a wildcard without a star", { wildcard: "ab" }, ["ab"], ["a", "abc", "xab"]],
  ["a wildcard alone", { wildcard: "*" }, ["", "x"], [1]],
  ["numeric =", { numeric: ["=", 301.5] }, [301.5, 3.015e2], [301.4, "301.5", null]],
  ["numeric <", { numeric: ["<", 0] }, [-0.00001, -1e9], [0, 1, -1e10]],
  ["numeric <=", { numeric: ["<=", 5] }, [5, 4], [5.00001]],
  ["numeric >", { numeric: [">", 5] }, [5.00001, 1e9], [5, 1e9 + 1, 1e300]],
  ["numeric >=", { numeric: [">=", -5] }, [-5], [-5.00001]],
  ["a numeric range", { numeric: [">", 0, "<=", 150] }, [0.00001, 150], [0, 150.00001, "1"]],
  ["cidr of IPv4", { cidr: "10.0.0.0/24" }, ["10.0.0.0", "10.0.0.255"], ["10.0.1.0", "x", 1]],
  ["cidr of everything", { cidr: "0.0.0.0/0" }, ["1.2.3.4"], ["::1", "1.2.3", "01.2.3.4"]],
  [
    "cidr of IPv6",
    { cidr: "2001:db8::/33" },
    ["2001:db8::", "2001:0db8:7fff::1", "2001:db8::1.2.3.4"],
    ["2001:db8:8000::", "10.0.0.1", "fe80::1%eth0"],
  ],
];

describe.each(operators)("%s", (_name, rule, accepted, refused) => {
  const cases = [
    ...accepted.map((value) => [value, true] as const),
    ...refused.map((value) => [value, false] as const),
  ];

  test.each(cases)("on a body with %j: %s", (value, expected) => {
    expect(acceptsBody({ key: [rule] }, { key: value })).toBe(expected);
    expect(acceptsBody({ key: [rule] }, { key: [value] })).toBe(expected);
    expect(acceptsBody({ a: { b: [rule] } }, { a: [{ c: 1 }, { b: value }] })).toBe(expected);
  });

  test.each(cases)("on a list attribute with %j: %s", (value, expected) => {
    expect(acceptsAttributes({ key: [rule] }, { key: list(value) })).toBe(expected);
  });

  test("never on a message without the key", () => {
    expect(acceptsAttributes({ key: [rule] }, { other: text("rugby") })).toBe(false);
    expect(acceptsBody({ key: [rule] }, { other: "rugby" })).toBe(false);
  });
});

describe("on attributes", () => {
  test.each<[string, object, Attributes, boolean]>([
    ["a String is text", { k: ["1"] }, { k: text("1") }, true],
    ["a String is no number", { k: [1] }, { k: text("1") }, false],
    [
      "a String is not compared as a number",
      { k: [{ numeric: ["=", 1] }] },
      { k: text("1") },
      false,
    ],
    ["a Number is a number", { k: [1] }, { k: number("1.0") }, true],
    ["a Number is no text", { k: ["1"] }, { k: number("1") }, false],
    ["a labelled type is its type", { k: [1] }, { k: { type: "Number.int", value: "1" } }, true],
    [
      "a Binary is not there",
      { k: [{ exists: true }] },
      { k: { type: "Binary", value: "YQ==" } },
      false,
    ],
    [
      "a Binary is absent",
      { k: [{ exists: false }] },
      { k: { type: "Binary.png", value: "YQ==" } },
      true,
    ],
    ["one element of a list is enough", { k: ["b"] }, { k: list("a", "b") }, true],
    ["a list has values of any type", { k: [2, true, null] }, { k: list("a", null) }, true],
    [
      "anything-but accepts a list with one other value",
      { k: [{ "anything-but": ["a", "b"] }] },
      { k: list("a", "c") },
      true,
    ],
    [
      "anything-but refuses a list of none other",
      { k: [{ "anything-but": ["a", "b"] }] },
      { k: list("a") },
      false,
    ],
    [
      "one value is a list of it",
      { k: [100] },
      { k: { type: "String.Array", value: "100" } },
      true,
    ],
    [
      "one value of an object is none",
      { k: [{ "anything-but": "a" }] },
      { k: { type: "String.Array", value: "{}" } },
      false,
    ],
    [
      "a list that is no JSON has no values",
      { k: [{ "anything-but": "a" }] },
      { k: { type: "String.Array", value: "[" } },
      false,
    ],
    [
      "a list that is no JSON is there",
      { k: [{ exists: true }] },
      { k: { type: "String.Array", value: "[" } },
      true,
    ],
    ["exists", { k: [{ exists: true }] }, { k: text("x") }, true],
    ["exists, absent", { k: [{ exists: true }] }, {}, false],
    ["does not exist", { k: [{ exists: false }] }, {}, true],
    ["does not exist, present", { k: [{ exists: false }] }, { k: text("x") }, false],
    ["anything-but or absent", { k: [{ "anything-but": "a" }, { exists: false }] }, {}, true],
    [
      "all keys have to be fulfilled",
      { a: ["1"], b: ["2"] },
      { a: text("1"), b: text("3") },
      false,
    ],
    ["other attributes do not matter", { a: ["1"] }, { a: text("1"), z: text("9") }, true],
    ["a name with points is a name", { "a.b": ["1"] }, { "a.b": text("1") }, true],
    ["an empty policy accepts everything", {}, {}, true],
  ])("%s", (_name, policy, attributes, expected) => {
    expect(acceptsAttributes(policy, attributes)).toBe(expected);
  });
});

describe("on bodies", () => {
  // More than are looked for one by one, within the combinations.
  const many = { $or: [{ b: [1], c: [1], d: [1], e: [1], f: [1], g: [1] }, { "h.i.j.k": [1] }] };
  const manyValues = { b: 1, c: 1, d: 1, e: 1, f: 1, g: 1 };
  const dotted = { "a.b": 1, "a.c": 1, "a.d": 1, "a.e": 1, "a.f": 1, "a.g": 1 };

  test.each<[string, object, unknown, boolean]>([
    ["nested keys", { a: { b: { c: ["x"] } } }, { a: { b: { c: "x" } } }, true],
    ["a key whose parent is missing", { a: { b: ["x"] } }, { b: "x" }, false],
    ["null is a value", { a: [{ exists: true }] }, { a: null }, true],
    ["null is not absence", { a: [{ exists: false }] }, { a: null }, false],
    ["an object is no value", { a: [{ exists: false }] }, { a: { b: 1 } }, true],
    ["an empty list is no value", { a: [{ exists: true }] }, { a: [] }, false],
    ["lists inside lists", { a: ["x"] }, { a: [["y"], [["x"]]] }, true],
    [
      "objects inside lists, one of which fits",
      { a: { b: ["x"] } },
      { a: [{ b: "y" }, { b: "x" }] },
      true,
    ],
    [
      "keys fulfilled by different elements",
      { a: { b: [1], c: [2] } },
      { a: [{ b: 1 }, { c: 2 }] },
      true,
    ],
    ["a key with a point", { "a.b": ["x"] }, { "a.b": "x" }, true],
    ["a key with a point for a level", { "a.b": ["x"] }, { a: { b: "x" } }, true],
    ["a level for a key with a point", { a: { b: ["x"] } }, { "a.b": "x" }, true],
    ["a body that is text", { a: [{ exists: false }] }, "plain", false],
    ["a body that is a list", { a: [{ exists: false }] }, [1], false],
    ["a body that is half an object", { a: [{ exists: false }] }, '{"a":', false],
    ["an empty policy", {}, "plain", true],
    ["an inherited key", { constructor: [{ exists: true }] }, {}, false],
    [
      "an inherited key beside many",
      { $or: [{ ...many, constructor: [{ exists: true }] }, { x: [1] }] },
      { a: 1 },
      false,
    ],
    ["many keys", { a: many }, { a: manyValues }, true],
    ["many keys in elements of a list", { a: many }, { a: [{ c: 1 }, manyValues] }, true],
    ["many keys, one of them missing", { a: many }, { a: { ...manyValues, f: 2 } }, false],
    ["many keys with points for levels", { a: many }, dotted, true],
    ["many keys, one with a level too many", { a: many }, { ...dotted, "a.g": { x: 1 } }, false],
  ])("%s", (_name, policy, body, expected) => {
    expect(acceptsBody(policy, body)).toBe(expected);
  });

  test("__proto__ is a key like any other", () => {
    const policy = JSON.parse('{"__proto__": {"a": ["x"]}}') as object;
    expect(acceptsBody(policy, '{"__proto__": {"a": "x"}}')).toBe(true);
    expect(acceptsBody(policy, "{}")).toBe(false);
    const attributes = JSON.parse('{"__proto__": {"type": "String", "value": "x"}}') as Attributes;
    expect(acceptsAttributes(JSON.parse('{"__proto__": ["x"]}') as object, attributes)).toBe(true);
  });

  test("lists nested by the hundred thousand are passed over", () => {
    const deep = `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    expect(acceptsBody({ a: [{ exists: true }] }, deep)).toBe(false);
  });
});

describe("$or", () => {
  const either = { $or: [{ a: ["1"] }, { b: ["2"], c: ["3"] }], d: ["4"] };

  test.each<[Attributes, boolean]>([
    [{ a: text("1"), d: text("4") }, true],
    [{ b: text("2"), c: text("3"), d: text("4") }, true],
    [{ b: text("2"), d: text("4") }, false],
    [{ a: text("1") }, false],
  ])("of %j: %s", (attributes, expected) => {
    expect(acceptsAttributes(either, attributes)).toBe(expected);
  });

  test("stands at any level of a body, also in another one", () => {
    const policy = { a: { $or: [{ b: [1] }, { $or: [{ c: [2] }, { d: [3] }] }] } };
    expect(acceptsBody(policy, { a: { d: 3 } })).toBe(true);
    expect(acceptsBody(policy, { d: 3 })).toBe(false);
  });

  test("is a name like any other where its list is no list of alternatives", () => {
    expect(acceptsAttributes({ $or: ["x", "y"] }, { $or: text("y") })).toBe(true);
    expect(
      acceptsAttributes({ $or: [{ prefix: "x" }, { suffix: "z" }] }, { $or: text("yz") }),
    ).toBe(true);
  });
});

describe("a policy is refused, with the place and what to mend", () => {
  test.each<[string, unknown, string, RegExp]>([
    ["no object", ["x"], "", /JSON object/],
    ["null", null, "", /JSON object/],
    ["six keys", { a: [1], b: [1], c: [1], d: [1], e: [1], f: [1] }, "", /at most 5 keys, not 6/],
    ["a value without a list", { store: "x" }, "store", /a list of values/],
    ["an empty list", { store: [] }, "store", /empty/],
    ["a list in a list", { store: [["x"]] }, "store.0", /string, number/],
    ["an unknown operator", { store: ["x", { like: "y" }] }, "store.1.like", /no operator "like"/],
    [
      "an inherited name for an operator",
      { store: [{ constructor: "y" }] },
      "store.0.constructor",
      /no operator/,
    ],
    ["two operators", { store: [{ prefix: "x", suffix: "y" }] }, "store.0", /one key/],
    ["an empty operator", { store: [{}] }, "store.0", /one key/],
    ["a prefix of a number", { store: [{ prefix: 1 }] }, "store.0.prefix", /string/],
    [
      "anything-but an empty prefix",
      { store: [{ "anything-but": { prefix: ["x", ""] } }] },
      "store.0.anything-but.prefix.1",
      /empty/,
    ],
    [
      "anything-but an empty suffix",
      { store: [{ "anything-but": { suffix: "" } }] },
      "store.0.anything-but.suffix",
      /empty/,
    ],
    ["an empty cidr", { store: [{ cidr: "" }] }, "store.0.cidr", /./],
    ["exists of text", { store: [{ exists: "true" }] }, "store.0.exists", /true or false/],
    ["anything-but nothing", { store: [{ "anything-but": [] }] }, "store.0.anything-but", /empty/],
    [
      "anything-but an object in a list",
      { store: [{ "anything-but": [{ prefix: "x" }] }] },
      "store.0.anything-but.0",
      /values/,
    ],
    [
      "anything-but numeric",
      { store: [{ "anything-but": { numeric: ["=", 1] } }] },
      "store.0.anything-but.numeric",
      /one of prefix/,
    ],
    [
      "anything-but a prefix of a number",
      { store: [{ "anything-but": { prefix: ["x", 1] } }] },
      "store.0.anything-but.prefix.1",
      /string/,
    ],
    ["numeric without a list", { total: [{ numeric: 5 }] }, "total.0.numeric", /comparison/],
    [
      "numeric with three terms",
      { total: [{ numeric: [">", 5, "<"] }] },
      "total.0.numeric",
      /range/,
    ],
    [
      "numeric with a strange comparison",
      { total: [{ numeric: ["!=", 5] }] },
      "total.0.numeric.0",
      /compare with/,
    ],
    [
      "numeric with an inherited comparison",
      { total: [{ numeric: ["toString", 5] }] },
      "total.0.numeric.0",
      /compare with/,
    ],
    ["numeric of text", { total: [{ numeric: ["=", "5"] }] }, "total.0.numeric.1", /a number/],
    [
      "a range upside down",
      { total: [{ numeric: ["<", 5, ">", 1] }] },
      "total.0.numeric",
      /> or >= and then/,
    ],
    [
      "a range without room",
      { total: [{ numeric: [">", 5, "<", 5] }] },
      "total.0.numeric",
      /lower bound/,
    ],
    ["a number beyond the range", { total: [1e9 + 1] }, "total.0", /from -1000000000/],
    ["a number with six decimals", { total: [0.000001] }, "total.0", /five decimals/],
    [
      "a bound beyond the range",
      { total: [{ numeric: [">", 1, "<", 1e10] }] },
      "total.0.numeric.3",
      /beyond/,
    ],
    ["a block without a mask", { ip: [{ cidr: "10.0.0.0" }] }, "ip.0.cidr", /10\.0\.0\.0\/24/],
    ["a block with too long a mask", { ip: [{ cidr: "10.0.0.0/33" }] }, "ip.0.cidr", /block/],
    ["a block of no address", { ip: [{ cidr: "10.0.0/8" }] }, "ip.0.cidr", /block/],
    ["two stars in a row", { file: [{ wildcard: "a**" }] }, "file.0.wildcard", /two stars/],
    ["six stars", { file: [{ wildcard: "*a*a*a*a*a*" }] }, "file.0.wildcard", /at most 5 stars/],
    [
      "a backslash before a letter",
      { file: [{ wildcard: String.raw`\a` }] },
      "file.0.wildcard",
      /backslash/,
    ],
    ["a backslash at the end", { file: [{ wildcard: "a\\" }] }, "file.0.wildcard", /backslash/],
    ["151 values", { a: Array.from({ length: 151 }, (_, index) => index) }, "", /151 combinations/],
    ["13 × 12 values", { a: Array(13).fill("x"), b: Array(12).fill("y") }, "", /156 combinations/],
    [
      "151 wildcards in anything-but",
      { a: [{ "anything-but": { wildcard: Array.from({ length: 151 }, (_, i) => `*${i}`) } }] },
      "",
      /151 combinations/,
    ],
    [
      "alternatives that add up to 151",
      { $or: [{ a: Array(150).fill("x") }, { b: ["y"] }] },
      "",
      /151 combinations/,
    ],
    ["more than 256 KiB", { a: ["x".repeat(256 * 1024)] }, "", /at most 262144 bytes/],
    [
      "a mistake in an alternative",
      { $or: [{ a: [1] }, { b: [{ numeric: [] }] }] },
      "$or.1.b.0.numeric",
      /comparison/,
    ],
    ["an object under an attribute", { a: { b: ["x"] } }, "a", /filterPolicyScope to MessageBody/],
  ])("%s", (_name, policy, path, message) => {
    const error = errorOf(policy, "MessageAttributes");
    expect(error.path).toBe(path);
    expect(error.message).toMatch(message);
  });

  test.each<[string, unknown, string, RegExp]>([
    ["a value without a list", { a: { b: 1 } }, "a.b", /an object with more keys/],
    ["an object without keys", { a: { b: {} } }, "a.b", /no keys/],
    // AWS' own example: 4 values on level 3, 3 on level 2, 3 on level 1.
    [
      "levels that multiply",
      { a: { b: { c: [1, 2, 3, 4] } }, d: { e: [1, 2, 3] }, f: [1, 2, 3] },
      "",
      /216 combinations/,
    ],
    ["too many levels", nested(65), expect.any(String) as unknown as string, /64 levels/],
    [
      "a key of too many parts",
      { ["a".repeat(1) + ".a".repeat(64)]: [1] },
      "a" + ".a".repeat(64),
      /64 parts/,
    ],
  ])("for a body: %s", (_name, policy, path, message) => {
    const error = errorOf(policy, "MessageBody");
    expect(error.path).toEqual(path);
    expect(error.message).toMatch(message);
  });

  test("a policy of many thousand levels", () => {
    expect(errorOf(nested(40_000), "MessageBody").message).toMatch(/64 levels/);
    expect(errorOf(nested(100_000), "MessageBody").message).toMatch(/262144 bytes/);
  });

  test("a policy of one byte too many, and not of one less", () => {
    const policy = (length: number) => ({
      a: ['ä€😀\n"\u0001', 1e21 / 1e15, -0, true, null, { exists: true }],
      b: { c: [{ "anything-but": [1, 2] }, "x".repeat(length)], d: [1] },
    });
    const limit = 256 * 1024;
    const most = limit - Buffer.byteLength(JSON.stringify(policy(0)));
    expect(() => compile(policy(most), "MessageBody")).not.toThrow();
    expect(errorOf(policy(most + 1), "MessageBody").message).toMatch(/at most 262144 bytes/);
  });

  test("what just keeps the limits is compiled", () => {
    const five = { a: [1], b: [1], c: [1], d: [1], e: Array.from({ length: 150 }, (_, i) => i) };
    expect(() => compile(five, "MessageAttributes")).not.toThrow();
    const inner = Object.fromEntries("abcdefg".split("").map((key) => [key, [1]]));
    expect(() => compile({ only: inner }, "MessageBody")).not.toThrow();
    expect(() => compile({ a: [-1e9, 1e9, 0.00001] }, "MessageAttributes")).not.toThrow();
  });
});

describe("an explanation names the clause that refused", () => {
  test.each<[object, Attributes, object | undefined]>([
    [{ store: ["north"] }, { store: text("north") }, undefined],
    [
      { store: ["north"], total: [{ numeric: [">=", 100] }] },
      { store: text("north"), total: number("99") },
      { path: "total", message: '[99] fulfils none of [{"numeric":[">=",100]}]' },
    ],
    [
      { store: ["north"] },
      {},
      { path: "store", message: 'the message has no value here; wanted is one of ["north"]' },
    ],
    [
      { $or: [{ a: ["1"] }, { b: ["2"] }] },
      {},
      { path: "$or", message: "none of the alternatives is fulfilled" },
    ],
  ])("%j", (policy, attributes, refusal) => {
    const filter = compile(policy, "MessageAttributes");
    expect(filter.explain(new FilteredMessage({ body: "", attributes }))).toEqual(refusal);
  });

  test("of a body, also when it is none", () => {
    const filter = compile({ order: { total: [1] } }, "MessageBody");
    const explain = (body: string) => filter.explain(new FilteredMessage({ body, attributes: {} }));
    expect(explain('{"order":{"total":2}}')).toEqual({
      path: "order.total",
      message: "[2] fulfils none of [1]",
    });
    expect(explain("[]")).toEqual({ path: "", message: "the body is no JSON object" });
  });
});

function nested(levels: number): object {
  let policy: object = { leaf: ["x"] };
  for (let level = 0; level < levels; level += 1) policy = { a: policy };
  return policy;
}

function errorOf(policy: unknown, scope: FilterScope): FilterPolicyError {
  try {
    compile(policy, scope);
  } catch (error) {
    if (error instanceof FilterPolicyError) return error;
    throw error;
  }
  throw new Error("the policy was accepted");
}
