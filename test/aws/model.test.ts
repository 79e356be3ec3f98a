import * as snsSdk from "@aws-sdk/client-sns";
import * as sqsSdk from "@aws-sdk/client-sqs";
import { expect, test } from "vitest";

import {
  membersOf,
  snsActions,
  sqsActions,
  type Shape,
  type StructureShape,
} from "@sluice/aws-api/model";

/**
 * How the SDK ships its schema: `[kind, namespace, name, traits, …]`, where an operation (9) goes on with input and output, a
 * structure (3, an error -3) with the names and shapes of its members and how many of them are required first, a list (1)
 * and a map (2) with what they are of; references may be wrapped in functions or arrays with traits.
 */
type Sdk = Record<string, unknown>;

interface SdkStructure {
  members: Map<string, unknown>;
  required: string[];
}

test.each([
  ["SQS", sqsActions, sqsSdk as Sdk],
  ["SNS", snsActions, snsSdk as Sdk],
])("inputs and outputs of %s are those of AWS' own SDK", (_, actions, sdk) => {
  for (const [name, { input, output }] of Object.entries(actions)) {
    const operation = resolved(sdk[`${name}$`]) as unknown[];
    expect(operation, name).toBeDefined();
    expect(described(input), `${name} input`).toEqual(describedSdk(operation[4]));
    const answer = describedSdk(operation[5]);
    if (output) expect(described(output), `${name} output`).toEqual(answer);
    else expect(answer, `${name} output`).toEqual({});
  }
});

/** A shape as plain data: names, kinds and, of what is read, what is required. */
function described(shape: Shape): unknown {
  if (typeof shape === "string") return shape;
  switch (shape.kind) {
    case "list":
      return [described(shape.of)];
    case "map":
      return { map: described(shape.of) };
    case "structure":
      return Object.fromEntries(
        membersOf(shape as StructureShape)
          .map(([member, of]) => [member, described(of)])
          .sort(),
      );
    default:
      return shape satisfies never;
  }
}

function describedSdk(reference: unknown): unknown {
  const schema = resolved(reference);
  if (typeof schema === "number") return scalarOf(schema);
  if (!Array.isArray(schema)) return {};
  const [kind] = schema as [number];
  if (kind === 1) return [describedSdk(schema[4])];
  if (kind === 2) return { map: describedSdk(schema[5]) };
  const { members } = structureOf(schema);
  return Object.fromEntries([...members].map(([name, of]) => [name, describedSdk(of)]).sort());
}

function structureOf(schema: unknown[]): SdkStructure {
  const [names, shapes] = schema.slice(4) as [string[], unknown[]];
  return {
    members: new Map((names ?? []).map((name, index) => [name, shapes[index]])),
    required: [],
  };
}

function resolved(reference: unknown): unknown {
  if (typeof reference === "function") return resolved((reference as () => unknown)());
  // `[schema, traits]` around a member.
  if (Array.isArray(reference) && reference.length === 2) return resolved(reference[0]);
  return reference;
}

function scalarOf(code: number): unknown {
  // 64 + x is a list of x, 128 + x a map of it.
  if (code >= 128) return { map: scalarOf(code - 128) };
  if (code >= 64) return [scalarOf(code - 64)];
  if (code === 0) return "string";
  if (code === 1) return "integer";
  if (code === 2) return "boolean";
  if (code === 21 || code === 42) return "blob";
  return code;
}
