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
    Id: `${resource}/SQSDefaultPolicy`,
    ...current,
    Statement: [...statements, statement],
  });
}

/** The policy without the statement of a label, empty when that was the last one; undefined when there is no such label. */
export function removePermission(policy: string | undefined, label: string): string | undefined {
  const current = parsePolicy(policy);
  const statements = statementsOf(current);
  const left = statements.filter(({ Sid }) => Sid !== label);
  if (left.length === statements.length) return undefined;
  return left.length === 0 ? "" : JSON.stringify({ ...current, Statement: left });
}

/** Whether a text may be kept as a policy: a JSON object. */
export function isPolicy(text: string): boolean {
  return parseObject(text) !== undefined;
}

/** A JSON object, or undefined. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function parsePolicy(policy: string | undefined): Policy {
  return (policy === undefined ? undefined : parseObject(policy)) ?? {};
}

function statementsOf({ Statement: statements }: Policy): Statement[] {
  if (Array.isArray(statements)) return statements as Statement[];
  return typeof statements === "object" && statements !== null ? [statements as Statement] : [];
}

function oneOrMany(values: readonly string[]): string | readonly string[] {
  return values.length === 1 ? (values[0] ?? "") : values;
}
