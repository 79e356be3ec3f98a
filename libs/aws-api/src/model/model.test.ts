import * as snsSdk from "@aws-sdk/client-sns";
import * as sqsSdk from "@aws-sdk/client-sqs";
import * as stsSdk from "@aws-sdk/client-sts";
import { expect, test } from "vitest";

import { structure, type Action, type Shape } from "./shape.ts";
import { snsActions } from "./sns.ts";
import { sqsActions } from "./sqs.ts";
import { stsActions } from "./sts.ts";

/**
 * The schema that AWS' SDK ships: `[kind, namespace, name, traits, …]`. An operation goes on with its input and output,
 * a structure with the names of its members, their shapes and how many of them, from the first on, are required, a list
 * and a map with what they are of. A reference is a schema, a function that returns it, or either in a list with
 * traits.
 */
type Sdk = Record<string, unknown>;
type Traits = { xmlName?: string; xmlFlattened?: 1 };

const SIMPLE = 0;
const LIST = 1;
const MAP = 2;

const services: [string, Record<string, Action>, Sdk][] = [
  ["SQS", sqsActions, sqsSdk],
  ["SNS", snsActions, snsSdk],
  ["STS", stsActions, stsSdk],
];

test.each(services)("inputs and outputs of %s are those of AWS' own SDK", (_, actions, sdk) => {
  for (const [name, { input, output }] of Object.entries(actions)) {
    const operation = sdk[`${name}$`] as unknown[];
    expect(described(input), `${name} input`).toEqual(describedSdk(operation[4]));
    const answer = described(output ?? structure({}));
    expect(withoutRequired(answer), `${name} output`).toEqual(
      withoutRequired(describedSdk(operation[5])),
    );
  }
});

test.each([
  ["SQS", sqsActions, sqsSdk as Sdk, 23],
  ["SNS", snsActions, snsSdk as Sdk, 21],
])("%s has all its actions, but those of other things than queues", (_, actions, sdk, count) => {
  expect(Object.keys(actions)).toHaveLength(count);
  expect(Object.keys(actions).every((name) => `${name}Command` in sdk)).toBe(true);
});

function described(shape: Shape): unknown {
  if (typeof shape === "string") return shape;
  switch (shape.kind) {
    case "list":
      return { list: described(shape.of), entryName: shape.entryName };
    case "map": {
      const { of, entryName, keyName, valueName } = shape;
      return { map: described(of), entryName, keyName, valueName };
    }
    case "structure": {
      const { required, optional } = shape;
      return structureOf(
        Object.entries({ ...required, ...optional }).map(([name, of]) => [name, described(of)]),
        Object.keys(required),
      );
    }
    default:
      return shape satisfies never;
  }
}

function describedSdk(reference: unknown, outer: Traits = {}): unknown {
  const { schema, traits } = resolved(reference, outer);
  const entryName = traits.xmlFlattened ? traits.xmlName : undefined;
  if (typeof schema === "number") return describedCode(schema, entryName);
  if (!Array.isArray(schema)) return structureOf([], []);
  if (schema[0] === SIMPLE) return describedSdk(schema[4]);
  if (schema[0] === LIST) return { list: describedSdk(schema[4]), entryName };
  if (schema[0] === MAP) {
    const keyName = resolved(schema[4]).traits.xmlName ?? "key";
    const valueName = resolved(schema[5]).traits.xmlName ?? "value";
    return { map: describedSdk(schema[5]), entryName, keyName, valueName };
  }
  const [names = [], shapes = [], required = 0] = schema.slice(4) as [
    string[]?,
    unknown[]?,
    number?,
  ];
  return structureOf(
    names.map((name, index) => [name, describedSdk(shapes[index])]),
    names.slice(0, required),
  );
}

function structureOf(members: [string, unknown][], required: string[]): unknown {
  return { members: Object.fromEntries(members), required: [...required].sort() };
}

function resolved(reference: unknown, traits: Traits = {}): { schema: unknown; traits: Traits } {
  if (typeof reference === "function") return resolved((reference as () => unknown)(), traits);
  if (Array.isArray(reference) && reference.length === 2)
    return resolved(reference[0], reference[1] as Traits);
  return { schema: reference, traits };
}

/** Simple types are numbers; 64 and above a list, 128 and above a map of one. */
function describedCode(code: number, entryName: string | undefined): unknown {
  if (code >= 128)
    return {
      map: describedCode(code - 128, undefined),
      entryName,
      keyName: "key",
      valueName: "value",
    };
  if (code >= 64) return { list: describedCode(code - 64, undefined), entryName };
  return { 0: "string", 1: "integer", 2: "boolean", 21: "blob" }[code] ?? code;
}

/** Nobody reads an output here: what has to be in it, the SDK does not say of members that AWS always writes. */
function withoutRequired(description: unknown): unknown {
  return JSON.parse(
    JSON.stringify(description, (key, value: unknown) => (key === "required" ? undefined : value)),
  );
}
