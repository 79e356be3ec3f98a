import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { PROJECT_FOLDER } from "../folders.ts";

export interface AccessKey {
  id: string;
  secret: string;
}

/** Where keys are made: the database, and what seals them there. */
export interface KeyStore {
  databaseUrl: string;
  /** 64 hex digits; the same as that of the processes. */
  secretsKey: string;
}

/** How a key comes with a request. */
export type Credentials = Readonly<Record<"authorization", string>>;

export function bearer({ id, secret }: AccessKey): Credentials {
  return { authorization: `Bearer ${id}.${secret}` };
}

/** Makes a key as an operator does, by the command. Rejects with what that says of its failure. */
export async function createAccessKey(store: KeyStore): Promise<AccessKey> {
  return JSON.parse(await runCommand(["create", "--json"], store)) as AccessKey;
}

/** Likewise: processes that know the key may let it in for 5 s more. */
export async function disableAccessKey(id: string, store: KeyStore): Promise<void> {
  await runCommand(["disable", id], store);
}

async function runCommand(args: string[], { databaseUrl, secretsKey }: KeyStore): Promise<string> {
  const script = join(PROJECT_FOLDER, "apps", "api", "dist", "access-key.js");
  // Its account is that of the processes: both take it from the environment.
  const env = { ...process.env, DATABASE_URL: databaseUrl, SECRETS_KEY: secretsKey };
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], { env });
  return stdout;
}
