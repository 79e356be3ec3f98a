import { numbers } from "@sluice/database";
import type { QueueSettings } from "@sluice/engine";

import { ACCOUNT, type Broker } from "./broker.ts";
import type { Client } from "./client.ts";

export interface DeadLetterPair {
  queue: string;
  deadLetters: string;
}

/** A queue whose messages go to another one after so many receives. */
export async function newPair(
  broker: Broker,
  maxReceiveCount = 1,
  settings: Partial<QueueSettings> = {},
): Promise<DeadLetterPair> {
  const deadLetters = await broker.newQueue({
    visibilityTimeout: 60,
    fifo: settings.fifo ?? false,
  });
  const redrive = { deadLetterQueue: deadLetters, maxReceiveCount };
  const queue = await broker.newQueue({ visibilityTimeout: 60, redrive, ...settings });
  return { queue, deadLetters };
}

/** Receives everything visible once more and gives it back. */
export async function failOnce(client: Client, queue: string): Promise<void> {
  const messages = await client.drain(queue);
  for (let start = 0; start < messages.length; start += 1_000)
    await client.hide(queue, messages.slice(start, start + 1_000), 0);
}

/** Sends these, and lets them fail until they are dead letters; the pair's maxReceiveCount is 1. */
export async function bury(
  client: Client,
  { queue }: DeadLetterPair,
  contents: Parameters<Client["send"]>[1],
): Promise<void> {
  await client.send(queue, contents);
  await failOnce(client, queue);
  await client.drain(queue);
}

/** Changes a queue as the API does it. */
export async function change(
  client: Client,
  queue: string,
  settings: Partial<QueueSettings>,
): Promise<void> {
  const { engine } = client;
  const { id } = await engine.queues.update(ACCOUNT, queue, settings);
  engine.changed({ kind: "queue", account: ACCOUNT, name: queue });
  engine.bus.signalQueues([id]);
}

/** Every message id of a queue with how often it is there, whatever its state. */
export async function multiset(broker: Broker, queues: readonly string[]): Promise<string[]> {
  const ids = await Promise.all(queues.map((queue) => broker.idOf(queue)));
  const rows = await broker.sql<{ message: string }[]>`
    SELECT s.batch_id || '/' || bit AS message
    FROM slices s, generate_series(0, 62) bit
    WHERE s.queue_id = ANY(${numbers(ids)}::bigint[]) AND s.pending >> bit & 1 = 1`;
  return rows.map((row) => row.message).sort();
}
