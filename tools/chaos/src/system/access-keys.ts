import { randomBytes } from "node:crypto";
import { runAccessKey } from "@sluice/stack";

/** Seals the keys of a run. */
export const SECRETS_KEY = randomBytes(32).toString("hex");

/** A key as `npm run access-key -- create --json` prints it. */
export interface AccessKey {
  id: string;
  secret: string;
}

export interface Keys {
  /** In use. */
  good: AccessKey;
  /** Has been used, and is in use no longer. */
  disabled: AccessKey;
}

/** How a key comes with a request. */
export type Credentials = Readonly<Record<"authorization", string>>;

export function bearer({ id, secret }: AccessKey): Credentials {
  return { authorization: `Bearer ${id}.${secret}` };
}

/**
 * Makes the keys of a run, as an operator does.
 *
 * @param urls of the APIs, each of which has seen the other key before it is disabled
 */
export async function makeKeys(databaseUrl: string, urls: readonly string[]): Promise<Keys> {
  const env = { DATABASE_URL: databaseUrl, SECRETS_KEY };
  const create = async () => JSON.parse(await runAccessKey(["create", "--json"], env)) as AccessKey;
  const good = await create();
  const disabled = await create();
  for (const url of urls) {
    const { status } = await fetch(`${url}/v1/queues`, { headers: bearer(disabled) });
    if (status !== 200) throw new Error(`a new access key was answered ${status}`);
  }
  await runAccessKey(["disable", disabled.id], env);
  return { good, disabled };
}
