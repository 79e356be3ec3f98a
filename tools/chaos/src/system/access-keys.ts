import { randomBytes } from "node:crypto";
import {
  bearer,
  createAccessKey,
  disableAccessKey,
  type AccessKey,
  type KeyStore,
} from "@sluice/stack";

/** Seals the keys of a run. */
export const SECRETS_KEY = randomBytes(32).toString("hex");

export interface Keys {
  /** In use. */
  good: AccessKey;
  /** Has been used, and is in use no longer. */
  disabled: AccessKey;
  /** Where more of them are made. */
  store: KeyStore;
}

/**
 * Makes the keys of a run.
 *
 * @param urls of the APIs, each of which has seen the other key before it is disabled
 */
export async function makeKeys(databaseUrl: string, urls: readonly string[]): Promise<Keys> {
  const store = { databaseUrl, secretsKey: SECRETS_KEY };
  const good = await createAccessKey(store);
  const disabled = await createAccessKey(store);
  for (const url of urls) {
    const { status } = await fetch(`${url}/v1/queues`, { headers: bearer(disabled) });
    if (status !== 200) throw new Error(`a new access key was answered ${status}`);
  }
  await disableAccessKey(disabled.id, store);
  return { good, disabled, store };
}
