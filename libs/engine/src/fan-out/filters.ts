import { numbers, type Sql } from "@sluice/database";
import { compile, type CompiledFilter, type FilterScope } from "@sluice/filter-policy";
import { LRUCache } from "lru-cache";

/** Bound of what is kept, in characters of policies. */
const MAX_SIZE = 64 * 1024 * 1024;

/** Accepts nothing: in the place of a policy that cannot be compiled, or is gone. */
export const NOTHING: CompiledFilter = {
  accepts: () => false,
  explain: () => ({ path: "", message: "the policy cannot be evaluated" }),
};

/** Filter policies by their ids, compiled once. A policy never changes, so what is remembered is right for ever. */
export class Filters {
  readonly #sql: Sql;
  readonly #failed: (error: unknown) => void;
  readonly #compiled = new LRUCache<string, { filter: CompiledFilter; size: number }>({
    maxSize: MAX_SIZE,
    sizeCalculation: ({ size }) => size,
  });

  /** @param failed - told of a policy that cannot be compiled; it accepts nothing */
  constructor(sql: Sql, failed: (error: unknown) => void) {
    this.#sql = sql;
    this.#failed = failed;
  }

  /** One query for all that are not at hand; a policy that no subscription has any more may be missing. */
  async get(ids: Iterable<string>): Promise<Map<string, CompiledFilter>> {
    const found = new Map<string, CompiledFilter>();
    const missing: string[] = [];
    for (const id of new Set(ids)) {
      const known = this.#compiled.get(id);
      if (known) found.set(id, known.filter);
      else missing.push(id);
    }
    if (missing.length > 0) {
      const sql = this.#sql;
      const rows = await sql<{ id: string; scope: FilterScope; policy: string }[]>`
        SELECT id, scope, policy FROM filter_policies WHERE id = ANY(${numbers(missing)}::bigint[])`;
      for (const { id, scope, policy } of rows) {
        const filter = this.#compile(policy, scope);
        this.#compiled.set(id, { filter, size: policy.length + 1_000 });
        found.set(id, filter);
      }
    }
    return found;
  }

  #compile(policy: string, scope: FilterScope): CompiledFilter {
    try {
      return compile(JSON.parse(policy), scope);
    } catch (error) {
      this.#failed(error);
      return NOTHING;
    }
  }
}
