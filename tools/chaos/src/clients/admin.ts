import { createAdmin, SluiceError } from "@sluice/client";
import type { SubscriptionOfWorld } from "../history/history.ts";
import { filters, type KnownFilter } from "../kinds.ts";
import { between, pick } from "../random.ts";
import type { Client } from "./client.ts";

const DEAD_LETTER_QUEUES = ["dead", "search-dead"];

/** The beginning of the names of queues whose filter policy changes. */
const CHANGING = "changing";
/** For how long a queue is purged now and then, ms, and for how long it is not: what it gets then has to arrive. */
const PURGES = 60_000;
const NO_PURGES = 840_000;

/** Changes things while messages flow: subscriptions, filter policies, purges, redrives, pauses, cancelled sends. */
export async function administer(client: Client): Promise<void> {
  const chores = [
    () => flap(client),
    () => purge(client),
    () => redrive(client),
    () => pause(client),
    () => cancel(client),
    () => cancel(client),
  ];
  const { signal } = client.draining;
  const { subscriptions } = client.settings.world;
  const changing = subscriptions.filter(({ queue }) => queue.startsWith(CHANGING));
  await Promise.all([
    client.loop(signal, async () => {
      await client.pause(300 + client.random() * 700, signal);
      await pick(client.random, chores)();
    }),
    ...changing.map((one) => client.loop(signal, () => refilter(client, one))),
    ...DEAD_LETTER_QUEUES.map((queue) => client.loop(signal, () => look(client, queue))),
  ]);
  // A paused queue would never be empty.
  await client.loop(client.stopping.signal, async () => {
    await post(client, "PATCH", "/v1/queues/paused", { paused: false });
    await client.pause(1_000);
  });
}

/** Unsubscribes, and subscribes again until it is sure that it has. */
async function flap(client: Client): Promise<void> {
  const admin = createAdmin(pick(client.random, client.connections));
  for await (const { id, queue } of admin.subscriptions.list({ topic: "orders" })) {
    if (queue === "flapping") await admin.subscriptions.delete(id);
  }
  await client.pause(client.random() * 1_000);
  for (let subscribed = false; !subscribed && !client.stopping.signal.aborted;) {
    subscribed = await admin.subscribe("orders", "flapping").then(
      () => true,
      () => false,
    );
  }
}

/**
 * Has a queue want other messages, and tries until it is sure that it does. Where that took more than one call, the
 * others may still have their effect: it leaves the queue alone until they cannot, so that there is one policy most of
 * the time.
 */
async function refilter(client: Client, { topic, queue }: SubscriptionOfWorld): Promise<void> {
  const { random, stopping, draining } = client;
  await client.pause(between(random, 1_000, 4_000), draining.signal);
  const admin = createAdmin(pick(random, client.connections));
  let id = "";
  for await (const found of admin.subscriptions.list({ topic }))
    if (found.queue === queue) id = found.id;
  const known = pick<KnownFilter | undefined>(random, [undefined, ...Object.values(filters)]);
  const body = {
    filterPolicy: known?.filterPolicy ?? null,
    filterPolicyScope: known?.filterPolicyScope ?? "MessageAttributes",
  };
  for (let calls = 1; !stopping.signal.aborted; calls += 1) {
    try {
      await post(client, "PATCH", `/v1/subscriptions/${id}`, body);
      if (calls > 1) await client.pause(client.settings.lateMs, draining.signal);
      return;
    } catch {
      await client.pause(200);
    }
  }
}

async function purge(client: Client): Promise<void> {
  if (performance.now() % (PURGES + NO_PURGES) > PURGES) return;
  await post(client, "POST", "/v1/queues/purged/purge");
}

async function redrive(client: Client): Promise<void> {
  const path = `/v1/queues/${pick(client.random, DEAD_LETTER_QUEUES)}/redrive`;
  const body = client.random() < 0.3 ? { rate: 20 } : {};
  const { id } = (await post(client, "POST", path, body)) as { id: string };
  if (client.random() < 0.4) return;
  await client.pause(client.random() * 1_000);
  try {
    await post(client, "DELETE", `${path}/${id}`);
  } catch (error) {
    // It is over already.
    if (!(error instanceof SluiceError && error.code === "redrive_not_found")) throw error;
  }
}

/** So that it is known when a redrive is over. */
async function look(client: Client, queue: string): Promise<void> {
  await client.pause(1_000, client.draining.signal);
  await post(client, "GET", `/v1/queues/${queue}/redrive`);
}

async function pause(client: Client): Promise<void> {
  await post(client, "PATCH", "/v1/queues/paused", { paused: true });
  await client.pause(client.random() * 2_000, client.draining.signal);
  await post(client, "PATCH", "/v1/queues/paused", { paused: false });
}

let cancelled = 0;

/** Sends for later, and takes some of it back. */
async function cancel(client: Client): Promise<void> {
  const { name } = client.settings;
  const messages = Array.from({ length: 5 }, () => {
    cancelled += 1;
    return { body: `${name}.${cancelled} later`, delay: 6 };
  });
  const path = "/v1/queues/jobs/messages";
  const { results } = (await post(client, "POST", path, { messages })) as {
    results: { messageId: string }[];
  };
  await client.pause(client.random() * 1_000);
  for (const { messageId } of results.slice(0, 3)) {
    await post(client, "DELETE", `${path}/${messageId}`);
  }
}

function post(
  client: Client,
  method: "GET" | "POST" | "PATCH" | "DELETE",
  path: string,
  body?: object,
): Promise<unknown> {
  return client.request({ method, path, body, retry: false });
}
