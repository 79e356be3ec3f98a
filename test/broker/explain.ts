import type { Sql } from "@sluice/database";

import type { Statement } from "./statements.ts";

/** The part of a plan that says which rows were looked at, and how. */
export interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  "Shared Hit Blocks": number;
  "Shared Read Blocks": number;
  Plans?: Plan[];
}

/** The plan that the connections of this pool run a statement with. Nothing is changed. */
export async function explain(sql: Sql, { text, parameters }: Statement): Promise<Plan> {
  let plan: Plan | undefined;
  const undo = new Error("undo");
  await sql
    .begin(async (tx) => {
      const rows = await tx.unsafe<{ "QUERY PLAN": { Plan: Plan }[] }[]>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
        parameters as never[],
      );
      plan = rows[0]?.["QUERY PLAN"][0]?.Plan;
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  if (!plan) throw new Error("no plan");
  return plan;
}

/** Every node of a plan. */
export function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

/** Rows that a node came across, kept or not. */
export function rowsRead(node: Plan): number {
  return (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"];
}

/** Pages that a statement touches, each dead entry of an index counting as one. */
export async function pagesOf(sql: Sql, statement: Statement): Promise<number> {
  const plan = await explain(sql, statement);
  return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
}

/** The latest statement with these words. */
export function last(statements: readonly Statement[], part: string): Statement {
  const found = statements.findLast(({ text }) => text.includes(part));
  if (!found) throw new Error(`no statement with ${part}`);
  return found;
}
