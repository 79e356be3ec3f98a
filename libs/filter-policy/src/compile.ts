import { checkComplexity, checkSize, MAX_DEPTH, MAX_KEYS } from "./limits.ts";
import { FilterPolicyError } from "./filter-policy-error.ts";
import type { FilteredMessage } from "./filtered-message.ts";
import { BodyKey } from "./body-keys.ts";
import { isAlternatives, isPlainObject, readRule, type Rule, type Steps } from "./rule.ts";
import { comparable, type Scalar } from "./scalar.ts";

/** What a policy looks at: the attributes of a message, or its body, a JSON object. */
export type FilterScope = "MessageAttributes" | "MessageBody";

/** Why a message is not accepted: the first clause that it does not fulfil. */
export interface Refusal {
  /** The clause, as keys into the policy: `store`, `order.total`, `$or`. */
  path: string;
  message: string;
}

export interface CompiledFilter {
  accepts: (message: FilteredMessage) => boolean;
  /** Undefined when the message is accepted. */
  explain: (message: FilteredMessage) => Refusal | undefined;
  /**
   * The same as `accepts` and `explain`, in steps that each tell before how many characters they go through: for long
   * messages.
   */
  acceptsInSteps: (message: FilteredMessage) => Iterator<number, boolean>;
  explainInSteps: (message: FilteredMessage) => Iterator<number, Refusal | undefined>;
}

type Path = readonly (string | number)[];

/** One key with its rules, or alternatives of which one is enough. */
type Clause =
  | {
      kind: "key";
      path: string;
      /** Where a body has it; the root for attributes, whose names are just names. */
      inBody: BodyKey;
      accepts: (values: Found) => boolean;
      acceptsInSteps: (values: Found) => Steps<boolean>;
      rules: unknown;
    }
  | { kind: "or"; path: string; alternatives: readonly Clause[][] };
type KeyClause = Extract<Clause, { kind: "key" }>;

/** The values that a message has for a key; undefined when it does not have the key. */
type Found = readonly Scalar[] | undefined;
type Lookup = (clause: KeyClause) => Found;

/**
 * Compiles a filter policy of SNS: every key has to be fulfilled, and of the rules under a key one.
 *
 * What AWS leaves open is decided like this: a key of a body exists when it has a value (an object or an empty list is
 * none); anything-but accepts values of every type; a String and a Number are never equal.
 *
 * @param policy - Parsed JSON.
 * @throws {FilterPolicyError} with the place of the mistake
 * @see https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
 * @example
 * const filter = compile({ store: ["north"], total: [{ numeric: [">=", 100] }] }, "MessageAttributes")
 * filter.accepts(new FilteredMessage({ body, attributes })) // true or false
 */
export function compile(policy: unknown, scope: FilterScope): CompiledFilter {
  if (!isPlainObject(policy)) throw new FilterPolicyError([], "a filter policy is a JSON object");
  const names = Object.keys(policy);
  if (names.length > MAX_KEYS) {
    throw new FilterPolicyError(
      [],
      `a filter policy has at most ${MAX_KEYS} keys, not ${names.length}; keys inside others do not count`,
    );
  }
  checkSize(policy);
  const root = new BodyKey();
  const clauses = readClauses(policy, { scope, at: [], path: "", parts: 0, inBody: root });
  checkComplexity(policy);
  const needsBody = scope === "MessageBody" && names.length > 0;
  const lookup = needsBody ? inBodies(root) : inAttributes;
  const lacksBody = (message: FilteredMessage) => needsBody && message.body === undefined;
  return {
    accepts: (message) => !lacksBody(message) && fulfils(clauses, lookup(message)),
    explain: (message) => {
      if (lacksBody(message)) return NO_BODY;
      const valuesOf = lookup(message);
      const refusing = clauses.find((clause) => !fulfils([clause], valuesOf));
      return refusalOf(refusing, valuesOf);
    },
    *acceptsInSteps(message) {
      return !lacksBody(message) && (yield* fulfilsInSteps(clauses, lookup(message)));
    },
    *explainInSteps(message) {
      if (lacksBody(message)) return NO_BODY;
      const valuesOf = lookup(message);
      return refusalOf(yield* refusingInSteps(clauses, valuesOf), valuesOf);
    },
  };
}

const NO_BODY: Refusal = { path: "", message: "the body is no JSON object" };

function inAttributes({ attributes }: FilteredMessage): Lookup {
  return ({ path }) => attributes.get(path);
}

function inBodies(root: BodyKey): (message: FilteredMessage) => Lookup {
  return ({ body = {} }) => {
    const found = root.valuesIn(body);
    return ({ inBody }) => found.get(inBody);
  };
}

interface Place {
  scope: FilterScope;
  /** In the policy. */
  at: Path;
  /** In the message. (Added up from left to right, so that keys which begin alike share that.) */
  path: string;
  parts: number;
  inBody: BodyKey;
}

function readClauses(policy: Record<string, unknown>, place: Place): Clause[] {
  if (place.at.length > MAX_DEPTH)
    throw new FilterPolicyError(place.at, `a filter policy nests at most ${MAX_DEPTH} levels deep`);
  return Object.entries(policy).flatMap(([key, value]): Clause[] => {
    const at = [...place.at, key];
    if (key === "$or" && isAlternatives(value)) {
      const alternatives = value.map((alternative, index) =>
        readClauses(alternative, { ...place, at: [...at, index] }),
      );
      return [{ kind: "or", path: pathTo(key, place), alternatives }];
    }
    const inner = placeOf(key, { ...place, at });
    if (Array.isArray(value)) return [keyClause(value, inner)];
    if (!isPlainObject(value)) {
      throw new FilterPolicyError(
        at,
        place.scope === "MessageBody"
          ? "under a key stands a list of values, or an object with more keys"
          : "under a key stands a list of values",
      );
    }
    if (place.scope === "MessageAttributes") {
      throw new FilterPolicyError(
        at,
        "attributes do not nest; write a list here, or set filterPolicyScope to MessageBody",
      );
    }
    if (Object.keys(value).length === 0)
      throw new FilterPolicyError(at, "the object has no keys; name one, or leave it out");
    return readClauses(value, inner);
  });
}

function placeOf(key: string, { scope, at, ...outer }: Place): Place {
  const path = pathTo(key, outer);
  if (scope === "MessageAttributes") return { scope, at, ...outer, path };
  const parts = outer.parts + key.split(".").length;
  return { scope, at, path, parts, inBody: outer.inBody.add(key) };
}

function pathTo(key: string, { path, parts }: Pick<Place, "path" | "parts">): string {
  return parts === 0 ? key : `${path}.${key}`;
}

function keyClause(list: readonly unknown[], { at, path, parts, inBody }: Place): Clause {
  if (list.length === 0) throw new FilterPolicyError(at, "the list is empty; nothing would match");
  const rules = list.map((rule, index) => readRule(rule, [...at, index]));
  if (parts > MAX_DEPTH)
    throw new FilterPolicyError(at, `a key has at most ${MAX_DEPTH} parts between points`);
  inBody.isWanted = true;
  return { kind: "key", path, inBody, ...anyOf(rules), rules: list };
}

/** One rule is enough, for one of the values. Values that are named are looked up together. */
function anyOf(rules: readonly Rule[]): Pick<KeyClause, "accepts" | "acceptsInSteps"> {
  const equals = new Set<Scalar>();
  const tests: ((value: Scalar) => boolean)[] = [];
  const testsInSteps: Extract<Rule, { kind: "test" }>[] = [];
  let whenPresent = false;
  let whenAbsent = false;
  for (const rule of rules) {
    switch (rule.kind) {
      case "equals":
        equals.add(comparable(rule.value));
        break;
      case "exists":
        if (rule.exists) whenPresent = true;
        else whenAbsent = true;
        break;
      case "test":
        tests.push(rule.test);
        testsInSteps.push(rule);
        break;
      default:
        rule satisfies never;
    }
  }
  const accepts = (value: Scalar) =>
    equals.has(comparable(value)) || tests.some((test) => test(value));
  return {
    accepts: (values) => {
      if (values === undefined) return whenAbsent;
      return whenPresent || values.some(accepts);
    },
    *acceptsInSteps(values) {
      if (values === undefined) return whenAbsent;
      if (whenPresent) return true;
      for (const value of values) {
        if (equals.has(comparable(value))) return true;
        for (const { test, testInSteps } of testsInSteps) {
          yield lengthOf(value);
          if (testInSteps ? yield* testInSteps(value) : test(value)) return true;
        }
      }
      return false;
    },
  };
}

function lengthOf(value: Scalar): number {
  return typeof value === "string" ? value.length : 1;
}

function fulfils(clauses: readonly Clause[], valuesOf: Lookup): boolean {
  for (const clause of clauses) {
    const fulfilled =
      clause.kind === "key"
        ? clause.accepts(valuesOf(clause))
        : clause.alternatives.some((alternative) => fulfils(alternative, valuesOf));
    if (!fulfilled) return false;
  }
  return true;
}

function* fulfilsInSteps(clauses: readonly Clause[], valuesOf: Lookup): Steps<boolean> {
  return (yield* refusingInSteps(clauses, valuesOf)) === undefined;
}

/** The first one that is not fulfilled. */
function* refusingInSteps(clauses: readonly Clause[], valuesOf: Lookup): Steps<Clause | undefined> {
  for (const clause of clauses) {
    const fulfilled =
      clause.kind === "key"
        ? yield* clause.acceptsInSteps(valuesOf(clause))
        : yield* isOneFulfilledInSteps(clause.alternatives, valuesOf);
    if (!fulfilled) return clause;
  }
  return undefined;
}

function* isOneFulfilledInSteps(
  alternatives: readonly Clause[][],
  valuesOf: Lookup,
): Steps<boolean> {
  for (const alternative of alternatives)
    if (yield* fulfilsInSteps(alternative, valuesOf)) return true;
  return false;
}

function refusalOf(refusing: Clause | undefined, valuesOf: Lookup): Refusal | undefined {
  if (!refusing) return undefined;
  const { path } = refusing;
  if (refusing.kind === "or") return { path, message: "none of the alternatives is fulfilled" };
  const values = valuesOf(refusing);
  const wanted = shortened(JSON.stringify(refusing.rules));
  return values === undefined
    ? { path, message: `the message has no value here; wanted is one of ${wanted}` }
    : { path, message: `${shortened(JSON.stringify(values))} fulfils none of ${wanted}` };
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
