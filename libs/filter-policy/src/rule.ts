import { compileCidr } from "./cidr.ts";
import { FilterPolicyError } from "./filter-policy-error.ts";
import { checkNumber, compileNumeric } from "./numeric.ts";
import { comparable, isScalar, type Scalar } from "./scalar.ts";
import { beginsWithOneOf, endsWithOneOf, isOneOfIgnoringCase } from "./texts.ts";
import { compileWildcard } from "./wildcard.ts";

type Path = readonly (string | number)[];
type Test = (value: Scalar) => boolean;

/** One entry of the list under a key: a value, something to be true of a value, or whether there is one at all. */
export type Rule =
  | { kind: "equals"; value: Scalar }
  | { kind: "exists"; exists: boolean }
  | { kind: "test"; test: Test; testInSteps?: (value: Scalar) => Steps<boolean> };

/** Work that may take long, in steps: before each it tells how many characters that goes through. */
export type Steps<Result> = Generator<number, Result, void>;

type Operator = (operand: unknown, path: Path) => Rule;

type TextTest = (text: string) => boolean;

/** Operators on text: whether one of the operands fits. Several there are inside anything-but only. */
const textOperators: Record<string, (operands: readonly [string, Path][]) => TextTest> = {
  prefix: (operands) => beginsWithOneOf(operands.map(([text]) => text)),
  suffix: (operands) => endsWithOneOf(operands.map(([text]) => text)),
  "equals-ignore-case": (operands) => isOneOfIgnoringCase(operands.map(([text]) => text)),
  wildcard: (operands) => {
    const tests = operands.map(([pattern, path]) => compileWildcard(pattern, path));
    return (text) => tests.some((test) => test(text));
  },
};

const operators: Record<string, Operator> = {
  ...Object.fromEntries(
    Object.entries(textOperators).map(([name, compileTexts]) => [
      name,
      onText((operand, path) => compileTexts([[operand, path]])),
    ]),
  ),
  cidr: onText(compileCidr),
  numeric: (operand, path) => ({ kind: "test", test: compileNumeric(operand, path) }),
  exists: (operand, path) => {
    if (typeof operand !== "boolean")
      throw new FilterPolicyError(path, "exists is either true or false");
    return { kind: "exists", exists: operand };
  },
  "anything-but": compileAnythingBut,
};

function isOperator(name: string): boolean {
  return Object.hasOwn(operators, name);
}

/** @throws {FilterPolicyError} */
export function readRule(rule: unknown, path: Path): Rule {
  if (isScalar(rule)) return { kind: "equals", value: checkScalar(rule, path) };
  if (!isPlainObject(rule))
    throw new FilterPolicyError(
      path,
      "a value is a string, number, true, false, null or an operator",
    );
  const [name, operand] = onlyEntry(rule, path);
  const operator = isOperator(name) ? operators[name] : undefined;
  if (!operator) {
    throw new FilterPolicyError(
      [...path, name],
      `there is no operator "${name.slice(0, 64)}"; use one of ${Object.keys(operators).join(", ")}`,
    );
  }
  return operator(operand, [...path, name]);
}

/** An object of JSON: not null, not a list. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * `$or` is an operator only before a list of two objects or more, none of which has a key that is an operator's name;
 * else it is a key like any other (AWS: AND/OR logic).
 */
export function isAlternatives(value: unknown): value is Record<string, unknown>[] {
  return (
    Array.isArray(value) &&
    value.length >= 2 &&
    value.every((entry) => isPlainObject(entry) && !Object.keys(entry).some(isOperator))
  );
}

/**
 * How many values a rule stands for, of the combinations that a policy may have. That is one, but a list of wildcards
 * inside anything-but counts each: unlike those of other lists, they are gone through one by one, over the whole of a
 * text.
 */
export function valuesOf(rule: unknown): number {
  const wildcards = ((rule as Operators | null)?.["anything-but"] as Operators | null | undefined)
    ?.wildcard;
  return Array.isArray(wildcards) ? wildcards.length : 1;
}

type Operators = Partial<Record<string, unknown>>;

function onText(compileText: (operand: string, path: Path) => TextTest): Operator {
  return (operand, path) => {
    const matches = compileText(checkText(operand, path), path);
    return { kind: "test", test: (value) => typeof value === "string" && matches(value) };
  };
}

/** A value, values, or texts with a prefix and the like: what is there and is none of them. */
function compileAnythingBut(operand: unknown, path: Path): Rule {
  if (!isPlainObject(operand)) {
    const values = new Set(
      entriesOf(operand, path).map(([value, at]) => {
        if (!isScalar(value))
          throw new FilterPolicyError(at, "anything-but takes values, or one operator on text");
        return comparable(checkScalar(value, at));
      }),
    );
    return { kind: "test", test: (value) => !values.has(comparable(value)) };
  }
  const [name, inner] = onlyEntry(operand, path);
  const compileTexts = Object.hasOwn(textOperators, name) ? textOperators[name] : undefined;
  const at = [...path, name];
  if (!compileTexts) {
    throw new FilterPolicyError(
      at,
      `anything-but takes one of ${Object.keys(textOperators).join(", ")}, not "${name.slice(0, 64)}"`,
    );
  }
  const texts = entriesOf(inner, at).map(([text, where]): [string, Path] => [
    checkText(text, where),
    where,
  ]);
  // Without anything-but SNS takes that: it is how some write "any text".
  const empty = texts.find(([text]) => text === "");
  if (empty && (name === "prefix" || name === "suffix"))
    throw new FilterPolicyError(
      empty[1],
      "the string is empty; every text begins and ends with it",
    );
  if (name === "wildcard") return noneOf(texts.map((each) => compileTexts([each])));
  const isOne = compileTexts(texts);
  return { kind: "test", test: (value) => typeof value !== "string" || !isOne(value) };
}

/** Of tests that each go through the whole of a text. */
function noneOf(tests: readonly TextTest[]): Rule {
  return {
    kind: "test",
    test: (value) => typeof value !== "string" || !tests.some((test) => test(value)),
    *testInSteps(value) {
      if (typeof value !== "string") return true;
      for (const test of tests) {
        yield value.length;
        if (test(value)) return false;
      }
      return true;
    },
  };
}

/** One entry or a list of them, each with its place. */
function entriesOf(operand: unknown, path: Path): [unknown, Path][] {
  if (!Array.isArray(operand)) return [[operand, path]];
  if (operand.length === 0) throw new FilterPolicyError(path, "the list is empty");
  return operand.map((entry: unknown, index) => [entry, [...path, index]]);
}

function onlyEntry(object: Record<string, unknown>, path: Path): [string, unknown] {
  const [entry, ...more] = Object.entries(object);
  if (!entry || more.length > 0)
    throw new FilterPolicyError(path, "an operator is an object with one key");
  return entry;
}

function checkText(value: unknown, path: Path): string {
  if (typeof value !== "string") throw new FilterPolicyError(path, "here stands a string");
  return value;
}

function checkScalar(value: Scalar, path: Path): Scalar {
  return typeof value === "number" ? checkNumber(value, path) : value;
}
