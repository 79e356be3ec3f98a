import { randomBytes } from "node:crypto";

import type { Sql } from "@sluice/database";

/** A secret that all processes on one database share; whoever asks first makes it. 32 random bytes unless told how. */
export async function sharedSecret(
  sql: Sql,
  name: string,
  make: () => Uint8Array | Promise<Uint8Array> = () => randomBytes(32),
): Promise<Uint8Array> {
  const existing = await existingSecret(sql, name);
  if (existing) return existing;
  await sql`INSERT INTO secrets (name, value) VALUES (${name}, ${await make()}) ON CONFLICT DO NOTHING`;
  const made = await existingSecret(sql, name);
  if (!made) throw new Error(`the secret "${name}" was deleted while this process started`);
  return made;
}

/** Undefined when nobody has asked for it yet. */
export async function existingSecret(sql: Sql, name: string): Promise<Uint8Array | undefined> {
  const [row] = await sql<{ value: Uint8Array }[]>`SELECT value FROM secrets WHERE name = ${name}`;
  return row?.value;
}
