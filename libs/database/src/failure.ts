import postgres from "postgres";

/** SQLSTATE classes and codes that mean "not now": the same call may well succeed in a moment. */
const UNAVAILABLE = /^(08|53|57P|58|55P03|57014|40001|40P01|25006)/;
/**
 * Where Postgres tells of its files: also of a disk that has become read-only, as after a failure, it says 42501, as of
 * a right that somebody has not.
 */
const STORAGE = /^(fd|md|slru|xlog\w*)\.c$/;
/** What the driver and the operating system call a server that does not answer. */
const DISCONNECTED = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

export type DatabaseFailure =
  "unavailable" | "unique-violation" | "missing-reference" | "refused" | "unknown";

/**
 * What a rejected query means.
 *
 * - `unavailable`: Postgres is away or overloaded, or its disk is. If it was a write, its outcome may be unknown.
 * - `unique-violation`: refused by a unique key; nothing was written.
 * - `missing-reference`: refused by a foreign key: what it refers to is gone; nothing was written.
 * - `refused`: Postgres answered with another error; nothing was written.
 * - `unknown`: not an error of the database.
 */
export function classifyFailure(error: unknown): DatabaseFailure {
  const cause = databaseError(error);
  if (cause instanceof postgres.PostgresError) {
    if (cause.code === "23505") return "unique-violation";
    if (cause.code === "23503") return "missing-reference";
    const isOfStorage = cause.code === "42501" && STORAGE.test(cause.file ?? "");
    return isOfStorage || UNAVAILABLE.test(cause.code) ? "unavailable" : "refused";
  }
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && DISCONNECTED.has(code) ? "unavailable" : "unknown";
}

/** Drizzle wraps what the driver threw. */
function databaseError(error: unknown): unknown {
  if (error instanceof postgres.PostgresError) return error;
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? error : databaseError(cause);
}

/** Whether a statement gave up because a lock was not to be had within the `lock_timeout` of its transaction. */
export function isLockNotAvailable(error: unknown): boolean {
  return (databaseError(error) as { code?: unknown } | undefined)?.code === "55P03";
}

/** Whether a statement was ended, as after its `statement_timeout`; nothing was written. */
export function isStatementCancelled(error: unknown): boolean {
  return (databaseError(error) as { code?: unknown } | undefined)?.code === "57014";
}
