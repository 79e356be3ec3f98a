import fc from "fast-check";
import { expect, test } from "vitest";

import { compile } from "./compile.ts";
import { FilteredMessage } from "./filtered-message.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Policy = { [key: string]: Json };

const MAX_RUNS = 3_000;
const words = ["a", "ab", "abc", "b", "ba", "B", ""];
const word = fc.constantFrom(...words);
const scalar = fc.oneof(word, fc.constantFrom(0, 1, -1, 1.5, 100), fc.boolean(), fc.constant(null));
const nonEmpty = word.filter((text) => text !== "");
const operator = fc.constantFrom("=", "<", "<=", ">", ">=");

const rule: fc.Arbitrary<Json> = fc.oneof(
  scalar,
  fc.constantFrom("prefix", "suffix", "equals-ignore-case").chain((name) =>
    fc.oneof(
      nonEmpty.map((text): Json => ({ [name]: text })),
      fc
        .array(nonEmpty, { minLength: 1, maxLength: 3 })
        .map((texts): Json => ({ "anything-but": { [name]: texts } })),
    ),
  ),
  fc
    .array(scalar, { minLength: 1, maxLength: 3 })
    .map((values): Json => ({ "anything-but": values })),
  fc.tuple(operator, fc.constantFrom(0, 1, 1.5)).map((terms): Json => ({ numeric: terms })),
  fc.boolean().map((exists): Json => ({ exists })),
);
const rules: fc.Arbitrary<Json> = fc.array(rule, { minLength: 1, maxLength: 3 });
const key = fc.constantFrom("x", "y", "z", "x.y", "y.z.x");
const flat: fc.Arbitrary<Policy> = fc.dictionary(key, rules, { minKeys: 1, maxKeys: 3 });
const alternatives: fc.Arbitrary<Policy> = fc
  .tuple(flat, flat, flat)
  .map(([one, two, rest]) => ({ ...rest, $or: [one, two] }));
const attributesPolicy = fc.oneof(flat, alternatives);
const bodyPolicy: fc.Arbitrary<Policy> = fc.oneof(
  attributesPolicy,
  fc
    .tuple(key, attributesPolicy, flat)
    .map(([name, inner, outer]) => ({ ...outer, [name]: inner })),
);

const attribute = fc.oneof(
  word.map((value) => ({ type: "String", value })),
  fc.constantFrom("0", "1", "1.5", "1e2").map((value) => ({ type: "Number", value })),
  fc.constant({ type: "Binary", value: "YQ==" }),
  fc
    .array(scalar, { maxLength: 3 })
    .map((values) => ({ type: "String.Array", value: JSON.stringify(values) })),
);
const { node: bodyValue } = fc.letrec<{ node: Json }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.array(tie("node"), { maxLength: 3 }),
    fc.dictionary(key, tie("node"), { maxKeys: 3 }),
  ),
}));

test("attributes are accepted exactly when a plain reading of the policy accepts them", () => {
  fc.assert(
    fc.property(attributesPolicy, fc.dictionary(key, attribute), (policy, attributes) => {
      fc.pre(isSimple(policy));
      const message = new FilteredMessage({ body: "", attributes });
      const values = new Map(
        Object.entries(attributes).flatMap(([name, { type, value }]): [string, Json[]][] => {
          if (type === "Binary") return [];
          if (type === "String.Array") return [[name, JSON.parse(value) as Json[]]];
          return [[name, [type === "Number" ? Number(value) : value]]];
        }),
      );
      const filter = compile(policy, "MessageAttributes");
      const expected = reads(policy, (path) => values.get(path.join(".")));
      expect(filter.accepts(message)).toBe(expected);
      expect(filter.explain(message) === undefined).toBe(expected);
      expect(resultOf(filter.acceptsInSteps(message))).toBe(expected);
      expect(resultOf(filter.explainInSteps(message))).toEqual(filter.explain(message));
    }),
    { numRuns: MAX_RUNS },
  );
});

test("bodies are accepted exactly when a plain reading of the policy accepts them", () => {
  fc.assert(
    fc.property(bodyPolicy, fc.dictionary(key, bodyValue), (policy, body) => {
      fc.pre(isSimple(policy));
      const message = new FilteredMessage({ body: JSON.stringify(body), attributes: {} });
      const filter = compile(policy, "MessageBody");
      const expected = reads(policy, (path) => {
        const leaves = leavesOf(body).filter((leaf) => leaf.path.join(".") === path.join("."));
        return leaves.length > 0 ? leaves.map((leaf) => leaf.value) : undefined;
      });
      expect(filter.accepts(message)).toBe(expected);
      expect(filter.explain(message) === undefined).toBe(expected);
      expect(resultOf(filter.acceptsInSteps(message))).toBe(expected);
      expect(resultOf(filter.explainInSteps(message))).toEqual(filter.explain(message));
    }),
    { numRuns: MAX_RUNS },
  );
});

function resultOf<Result>(steps: Iterator<number, Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Within the limit of combinations. */
function isSimple(policy: Policy): boolean {
  try {
    compile(policy, "MessageBody");
    return true;
  } catch {
    return false;
  }
}

function leavesOf(node: Json, path: string[] = []): { path: string[]; value: Json }[] {
  if (Array.isArray(node)) return node.flatMap((element) => leavesOf(element, path));
  if (typeof node === "object" && node !== null)
    return Object.entries(node).flatMap(([name, value]) => leavesOf(value, [...path, name]));
  return [{ path, value: node }];
}

function reads(
  policy: Policy,
  find: (path: string[]) => Json[] | undefined,
  path: string[] = [],
): boolean {
  return Object.entries(policy).every(([name, value]) => {
    if (name === "$or") return (value as Policy[]).some((each) => reads(each, find, path));
    if (!Array.isArray(value)) return reads(value as Policy, find, [...path, name]);
    const values = find([...path, name]);
    return value.some((each) => fulfils(each, values));
  });
}

function fulfils(each: Json, values: Json[] | undefined): boolean {
  if (typeof each === "object" && each !== null && "exists" in each)
    return each["exists"] === (values !== undefined);
  return (values ?? []).some((value) => is(each as Json, value));
}

function is(wanted: Json, value: Json): boolean {
  if (typeof wanted !== "object" || wanted === null) return wanted === value;
  const [name, operand] = Object.entries(wanted)[0] as [string, Json];
  switch (name) {
    case "anything-but":
      if (Array.isArray(operand)) return !operand.includes(value);
      return Object.entries(operand as Policy).every(([inner, texts]) =>
        (texts as string[]).every((text) => !is({ [inner]: text }, value)),
      );
    case "numeric": {
      const [compare, bound] = operand as [string, number];
      if (typeof value !== "number") return false;
      return compare === "="
        ? value === bound
        : compare.startsWith("<")
          ? value < bound || (compare === "<=" && value === bound)
          : value > bound || (compare === ">=" && value === bound);
    }
    default: {
      if (typeof value !== "string") return false;
      const text = operand as string;
      if (name === "prefix") return value.slice(0, text.length) === text;
      if (name === "suffix")
        return value.length >= text.length && value.slice(-text.length) === text;
      return value.toUpperCase() === text.toUpperCase();
    }
  }
}
