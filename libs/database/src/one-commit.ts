import type { Sql } from "./connect.ts";

/** Sends one statement as it is called, and resolves to what came of it. */
export type Statement<Result> = (sql: Sql) => Promise<Result>;

/** What became of statements that share a commit: what each answered, or the first one that failed, and then none has done anything. */
export type Outcome<Result> = { results: Result[] } | { failed: number; error: unknown };

/**
 * Runs statements in one transaction, and sends all of them at once: they cost one round trip and one flush of the log.
 *
 * Each sees what those before it did. Where it was the commit that failed, `failed` is their number: then what became of it may be unknown.
 *
 * @param sql - A pool of one connection, of which nobody else makes use meanwhile.
 * @param statements - Each must send its statement when called and not in a later turn: `sql`…`.execute()`.
 */
export async function inOneCommit<Result>(
  sql: Sql,
  statements: readonly Statement<Result>[],
): Promise<Outcome<Result>> {
  const sent =
    statements.length === 1
      ? [statements[0]!(sql)]
      : [
          sql.unsafe("BEGIN").execute(),
          ...statements.map((send) => send(sql)),
          sql.unsafe("COMMIT").execute(),
        ];
  const settled = await Promise.allSettled(sent);
  const failed = settled.findIndex(({ status }) => status === "rejected");
  const first = sent.length === 1 ? 0 : 1;
  if (failed >= 0) {
    return {
      failed: Math.max(0, failed - first),
      error: (settled[failed] as PromiseRejectedResult).reason,
    };
  }
  const answers = settled.slice(
    first,
    first + statements.length,
  ) as PromiseFulfilledResult<Result>[];
  return { results: answers.map(({ value }) => value) };
}
