import { createAdmin, SluiceError } from "@sluice/client";
import { pick } from "../random.ts";
import type { Client } from "./client.ts";

const DEAD_LETTER_QUEUES = ["dead", "search-dead"];

/** Changes things while messages flow: subscriptions, purges, redrives, pauses, cancelled sends. */
export async function administer(client: Client): Promise<void> {
  const chores = [
    () => flap(client),
    () => purge(client),
    () => redrive(client),
    () => pause(client),
    () => cancel(client),
    () => cancel(client),
  ];
  await client.loop(client.draining.signal, async () => {
    await client.pause(300 + client.random() * 700, client.draining.signal);
    await pick(client.random, chores)();
  });
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

async function purge(client: Client): Promise<void> {
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
  method: "POST" | "PATCH" | "DELETE",
  path: string,
  body?: object,
): Promise<unknown> {
  return client.request({ method, path, body, retry: false });
}
