import { sql } from "drizzle-orm";
import { check, index, pgTable, text } from "drizzle-orm/pg-core";

import { account, bytea, fromDatabaseClock, time } from "./columns.ts";

/** Keys that every process of an installation shares, made at the first start. */
export const secrets = pgTable("secrets", {
  name: text("name").primaryKey(),
  value: bytea("value").notNull(),
});

/**
 * Who may call, and for which account. Secrets must be recoverable to check a signature: sealed by a key outside
 * Postgres.
 */
export const accessKeys = pgTable(
  "access_keys",
  {
    id: text("id").primaryKey(),
    account: account(),
    sealedSecret: bytea("sealed_secret").notNull(),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
    disabledAt: time("disabled_at"),
  },
  (t) => [
    index("access_keys_account").on(t.account),
    check("access_keys_id_form", sql`${t.id} ~ '^[A-Za-z0-9_]{16,128}$'`),
  ],
);
