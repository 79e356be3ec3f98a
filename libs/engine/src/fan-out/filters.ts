import { numbers, type Sql } from "@sluice/database";
import { compile, type CompiledFilter, type FilterScope } from "@sluice/filter-policy";
import { LRUCache } from "lru-cache";

import { turn } from "../turn.ts";

/** Bound of what is kept, in bytes, about. */
const MAX_SIZE = 128 * 1024 * 1024;
/**
 * What a policy holds when it is compiled, for each of its characters: 20,000 keys of one number, the most there was,
 * take 11 MB for 243 kB.
 */
const COMPILED = 45;

const NO_POLICY = { path: "", message: "the policy cannot be evaluated" };

/** Accepts nothing: in the place of a policy that cannot be compiled. */
const NOTHING: CompiledFilter = {
  accepts: () => false,
  explain: () => NO_POLICY,
  acceptsInSteps: () => inNoStep(false),
  explainInSteps: () => inNoStep(NO_POLICY),
};

/** A filter policy that is compiled. */
export interface Filter {
  compiled: CompiledFilter;
  /** Whose it is. */
  account: string;
}

/** Filter policies by their ids, compiled once. A policy never changes, so what is remembered is right for ever. */
export class Filters {
  readonly #sql: Sql;
  readonly #failed: (error: unknown) => void;
  #compiled = newCache();

  /** @param failed - told of a policy that cannot be compiled; it accepts nothing */
  constructor(sql: Sql, failed: (error: unknown) => void) {
    this.#sql = sql;
    this.#failed = failed;
  }

  /** On another server an id may stand for another policy. What is being read from this one is not remembered. */
  forget(): void {
    this.#compiled = newCache();
  }

  /** One query for all that are not at hand; a policy that no subscription has any more may be missing. */
  async get(ids: Iterable<string>): Promise<Map<string, Filter>> {
    const found = new Map<string, Filter>();
    const missing: string[] = [];
    const cache = this.#compiled;
    for (const id of new Set(ids)) {
      const known = cache.get(id);
      if (known) found.set(id, known.filter);
      else missing.push(id);
    }
    if (missing.length > 0) {
      const sql = this.#sql;
      const rows = await sql<FilterRow[]>`
        SELECT id, account, scope, policy FROM filter_policies WHERE id = ANY(${numbers(missing)}::bigint[])`;
      for (const { id, account, scope, policy } of rows) {
        // The largest takes tens of milliseconds, and a topic may have a thousand.
        if (turn.isOver(policy.length)) await turn.next(account);
        const filter = { compiled: this.#compile(policy, scope), account };
        cache.set(id, { filter, size: COMPILED * policy.length + 1_000 });
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

interface FilterRow {
  id: string;
  account: string;
  scope: FilterScope;
  policy: string;
}

function inNoStep<Result>(value: Result): Iterator<number, Result> {
  return { next: () => ({ done: true, value }) };
}

function newCache() {
  return new LRUCache<string, { filter: Filter; size: number }>({
    maxSize: MAX_SIZE,
    sizeCalculation: ({ size }) => size,
  });
}
