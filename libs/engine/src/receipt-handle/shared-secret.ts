import { randomBytes } from "node:crypto";

import type { Sql } from "@sluice/database";

/** A secret that all processes on one database share; whoever asks first makes it. 32 bytes. */
export async function sharedSecret(sql: Sql, name: string): Promise<Uint8Array> {
  await sql`INSERT INTO secrets (name, value) VALUES (${name}, ${randomBytes(32)}) ON CONFLICT DO NOTHING`;
  const [row] = await sql<{ value: Uint8Array }[]>`SELECT value FROM secrets WHERE name = ${name}`;
  if (!row) throw new Error(`the secret "${name}" was deleted while this process started`);
  return row.value;
}
