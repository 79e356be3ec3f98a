import { sql } from "drizzle-orm";
import { bigint, customType, timestamp } from "drizzle-orm/pg-core";

export const bytea = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });

/** A bigint where Drizzle reads it; hot statements get ids as decimal strings, which is how they travel elsewhere. */
export const id = (name: string) => bigint(name, { mode: "bigint" });

/** The owning tenant: the twelve digits of its account number as an integer. */
export const account = () => bigint("account", { mode: "bigint" }).notNull();

/** An id of a transaction; compared by Postgres alone. */
export const transactionId = customType<{ data: string }>({ dataType: () => "xid8" });

/** Which transactions a statement saw; compared by Postgres alone. */
export const snapshot = customType<{ data: string }>({ dataType: () => "pg_snapshot" });

export const time = (name: string) => timestamp(name, { withTimezone: true });

export const fromDatabaseClock = sql`clock_timestamp()`;
