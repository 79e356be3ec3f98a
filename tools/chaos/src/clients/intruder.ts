import { randomBytes } from "node:crypto";
import {
  bearer,
  createAccessKey,
  disableAccessKey,
  type AccessKey,
  type KeyStore,
} from "@sluice/stack";
import type { BadKey } from "../history/history.ts";
import { between, pick } from "../random.ts";
import { ATTEMPT_MS, type Client } from "./client.ts";
import type { ClientSettings } from "./settings.ts";

/** How long a key may go on working once it is disabled, ms. */
const GRACE = 5_000;

interface Wish {
  method: "GET" | "POST" | "PATCH";
  path: string;
  body?: object;
  /** An action of AWS. */
  action?: string;
}

/** What anybody could want, and must not get. */
const wishes: readonly Wish[] = [
  { method: "GET", path: "/v1/queues" },
  { method: "POST", path: "/v1/queues/billing/receive", body: { maxMessages: 10 } },
  { method: "POST", path: "/v1/receive", body: { receives: [{ queue: "audit" }] } },
  { method: "POST", path: "/v1/queues/billing/messages", body: forged("send") },
  { method: "POST", path: "/v1/topics/orders/messages", body: forged("publish") },
  { method: "POST", path: "/v1/queues/billing/purge" },
  { method: "PATCH", path: "/v1/queues/audit", body: { paused: true } },
  { method: "POST", path: "/", action: "AmazonSQS.ListQueues", body: {} },
  {
    method: "POST",
    path: "/",
    action: "AmazonSQS.ReceiveMessage",
    body: { QueueUrl: "http://localhost/000000000000/billing" },
  },
];

function forged(what: string): object {
  return { messages: [{ body: `forged-${what} by an intruder` }] };
}

/** What takes a key without a signature. */
const native = wishes.filter(({ action }) => action === undefined);
/** What changes nothing for anybody. */
const harmless = native.filter(({ method }) => method === "GET");

/** Tries to get in without a good key for as long as there are others. */
export async function intrude(client: Client): Promise<void> {
  await Promise.all([tryBadKeys(client), outliveKeys(client)]);
}

async function tryBadKeys(client: Client): Promise<void> {
  const { random, draining, settings } = client;
  const since = performance.now();
  await client.loop(draining.signal, async () => {
    await client.pause(between(random, 20, 200), draining.signal);
    const key = pick(random, ["none", "made-up", "wrong-secret", "disabled"] as const);
    if (key === "disabled" && performance.now() - since < GRACE) return;
    await knock(client, key, { shown: badKey(settings, key), among: wishes });
  });
}

/** Has a key that every API knows, until it is disabled, and goes on with it. */
async function outliveKeys(client: Client): Promise<void> {
  const { random, draining, settings } = client;
  const { store } = settings.keys;
  await client.loop(draining.signal, async () => {
    const shown = await createAccessKey(store);
    for (let uses = 0; uses < 10; uses += 1)
      await knock(client, "good", { shown, among: harmless });
    while (!(await hasDisabled(shown, store))) await client.pause(200, draining.signal);
    await client.pause(GRACE, draining.signal);
    for (let tries = 0; tries < 20 && !draining.signal.aborted; tries += 1) {
      await knock(client, "just-disabled", { shown, among: native });
      await client.pause(between(random, 20, 400), draining.signal);
    }
  });
}

/** Disables a key; where Postgres goes away in the middle nobody knows whether that is done. */
async function hasDisabled({ id }: AccessKey, store: KeyStore): Promise<boolean> {
  try {
    await disableAccessKey(id, store);
    return true;
  } catch (error) {
    return String(error).includes(`no key ${id} is in use`);
  }
}

async function knock(
  { random, settings, log }: Client,
  key: BadKey | "good",
  { shown, among }: { shown: AccessKey | undefined; among: readonly Wish[] },
): Promise<void> {
  const { method, path, body, action } = pick(random, among);
  const call = log.invoke("knock", { key });
  try {
    const response = await fetch(`${pick(random, settings.urls)}${path}`, {
      method,
      headers: {
        ...(action === undefined
          ? { "content-type": "application/json" }
          : { "content-type": "application/x-amz-json-1.0", "x-amz-target": action }),
        ...(shown && (action === undefined ? bearer(shown) : forgedSignature(shown))),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ATTEMPT_MS),
    });
    const answer = await response.text();
    if (response.status === 401 || response.status === 403) log.fail(call, answer);
    // It has not even looked who it was.
    else if (response.status === 429 || response.status >= 500) log.info(call, answer);
    else log.ok(call, null);
  } catch (error) {
    log.info(call, String(error));
  }
}

function badKey(
  { keys: { good, disabled } }: ClientSettings,
  key: Exclude<BadKey, "just-disabled">,
): AccessKey | undefined {
  switch (key) {
    case "none":
      return undefined;
    case "made-up":
      return { ...good, id: `SLUICE${randomBytes(7).toString("hex").toUpperCase()}` };
    case "wrong-secret":
      return { ...good, secret: disabled.secret };
    case "disabled":
      return disabled;
  }
}

/** What a signature looks like, by somebody who cannot make one. */
function forgedSignature({ id }: AccessKey): Record<string, string> {
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const credential = `${id}/${time.slice(0, 8)}/us-east-1/sqs/aws4_request`;
  const signature = randomBytes(32).toString("hex");
  return {
    "x-amz-date": time,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host;x-amz-date, Signature=${signature}`,
  };
}
