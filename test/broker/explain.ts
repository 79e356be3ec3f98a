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

let explained = 0;

/**
 * The plan that the connections of this pool run a statement with, whatever its parameters. Nothing is changed.
 * @param settings - What its transaction sets before it.
 */
export async function explain(
  sql: Sql,
  { text, parameters }: Statement,
  settings?: Statement,
): Promise<Plan> {
  let plan: Plan | undefined;
  const undo = new Error("undo");
  explained += 1;
  const name = `explained_${explained}`;
  const values = parameters.map((value) => (value === null ? "NULL" : `'${quoted(value)}'`));
  await sql
    .begin(async (tx) => {
      if (settings) await tx.unsafe(settings.text, settings.parameters as never[]);
      await tx.unsafe(`PREPARE ${name} AS ${text}`);
      const rows = await tx.unsafe<{ "QUERY PLAN": { Plan: Plan }[] }[]>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE ${name}${values.length > 0 ? `(${values.join()})` : ""}`,
      );
      plan = rows[0]?.["QUERY PLAN"][0]?.Plan;
      await tx.unsafe(`DEALLOCATE ${name}`);
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  if (!plan) throw new Error("no plan");
  return plan;
}

function quoted(value: unknown): string {
  return String(value).replaceAll("'", "''");
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

/**
 * Rows of these tables that a statement came across, all nodes of its plan together. A scan of a whole table fails,
 * however few rows it has.
 */
export async function rowsOf(
  sql: Sql,
  statement: Statement,
  tables: readonly string[],
  settings?: Statement,
): Promise<number> {
  const nodes = nodesOf(await explain(sql, statement, settings)).filter(
    (node) => tables.includes(node["Relation Name"] ?? "") && node["Node Type"] !== "ModifyTable",
  );
  const scanned = nodes.filter((node) => node["Node Type"] === "Seq Scan");
  if (scanned.length > 0) throw new Error(`${statement.text}\nreads all of ${tables.join()}`);
  return nodes.reduce((sum, node) => sum + rowsRead(node), 0);
}
