import type { Sql } from "@sluice/database";
import { expect } from "vitest";

import type { Statement } from "./statements.ts";

/** How many rows a node of a plan came up with. */
interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  Plans?: Plan[];
}

/** The most rows of one of the tables that one node of the statement's plan read; a scan of a whole table fails. Nothing is changed. */
export async function mostRowsRead(
  sql: Sql,
  { text, parameters }: Statement,
  tables: readonly string[],
): Promise<number> {
  let most = 0;
  const undo = new Error("undo");
  await sql
    .begin(async (tx) => {
      const rows = await tx.unsafe<{ "QUERY PLAN": { Plan: Plan }[] }[]>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
        parameters as never[],
      );
      const nodes = nodesOf(rows[0]!["QUERY PLAN"][0]!.Plan).filter(
        (node) =>
          tables.includes(node["Relation Name"] ?? "") && node["Node Type"] !== "ModifyTable",
      );
      expect(
        nodes.filter((node) => node["Node Type"] === "Seq Scan"),
        text,
      ).toEqual([]);
      most = Math.max(0, ...nodes.map(rowsRead));
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  return most;
}

function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

function rowsRead(node: Plan): number {
  return (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"];
}
