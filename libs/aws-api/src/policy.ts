import { parseJson } from "@sluice/http-api";

import { commonError } from "./errors.ts";

/** A statement for each label, as AddPermission writes it into the Policy of a queue or topic. */
interface Statement {
  Sid?: unknown;
  [member: string]: unknown;
}

interface Policy {
  Version?: unknown;
  Id?: unknown;
  Statement?: unknown;
}

export interface NewPermission {
  label: string;
  accounts: readonly string[];
  /** With the service's prefix: `SQS:SendMessage`. */
  actions: readonly string[];
  /** ARN of the queue or topic. */
  resource: string;
}

/** The policy with one more statement; undefined when the label is taken. */
export function addPermission(
  policy: string | undefined,
  { label, accounts, actions, resource }: NewPermission,
): string | undefined {
  const current = parsePolicy(policy);
  const statements = statementsOf(current);
  if (statements.some(({ Sid }) => Sid === label)) return undefined;
  const statement: Statement = {
    Sid: label,
    Effect: "Allow",
    Principal: { AWS: oneOrMany(accounts.map((account) => `arn:aws:iam::${account}:root`)) },
    Action: oneOrMany(actions),
    Resource: resource,
  };
  return JSON.stringify({
    Version: "2008-10-17",
    Id: resource.startsWith("arn:aws:sns:")
      ? "__default_policy_ID"
      : `${resource}/SQSDefaultPolicy`,
    ...current,
    Statement: [...statements, statement],
  });
}

/**
 * The policy without the statement of a label, empty when that was the last one; undefined when there is no such label.
 */
export function removePermission(policy: string | undefined, label: string): string | undefined {
  const current = parsePolicy(policy);
  const statements = statementsOf(current);
  const left = statements.filter(({ Sid }) => Sid !== label);
  if (left.length === statements.length) return undefined;
  return left.length === 0 ? "" : JSON.stringify({ ...current, Statement: left });
}

/** More than AWS takes of a queue or a topic. */
export const MAX_POLICY_BYTES = 65_536;

/**
 * Whether a text may be kept as a policy: a JSON object that Postgres can store, and that is shown in every answer
 * about its queue or topic.
 */
export function isPolicy(text: string): boolean {
  return (
    Buffer.byteLength(text) <= MAX_POLICY_BYTES &&
    !/\p{Cs}/u.test(text) &&
    parseObject(text) !== undefined
  );
}

/** A JSON object, or undefined; also for one that nests so deep that whoever walks it runs out of stack. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = parseJson(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @throws {AwsError} `MalformedInput` for one of before policies were checked as they are now, which a new statement
 * would do away with
 */
function parsePolicy(policy: string | undefined): Policy {
  const parsed = policy === undefined ? {} : parseObject(policy);
  if (!parsed) throw commonError("MalformedInput", "the Policy that is there is none; set another");
  return parsed;
}

function statementsOf({ Statement: statements }: Policy): Statement[] {
  if (Array.isArray(statements)) return statements as Statement[];
  return typeof statements === "object" && statements !== null ? [statements as Statement] : [];
}

function oneOrMany(values: readonly string[]): string | readonly string[] {
  return values.length === 1 ? (values[0] ?? "") : values;
}
