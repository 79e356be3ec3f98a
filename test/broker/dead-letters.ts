import { numbers } from "@sluice/database";
import type { QueueSettings } from "@sluice/engine";

import { ACCOUNT, type Broker } from "./broker.ts";
import type { Client } from "./client.ts";
import { holdWith, type Held } from "./interleaving.ts";

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

/**
 * So many slices of one message of a queue, visible and received so often that they are its dead letters, before what
 * comes to it later.
 */
export async function exhaust(broker: Broker, queue: string, slices: number): Promise<void> {
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, lease, receive_count)
    SELECT ${await broker.idOf(queue)}::bigint, now - interval '10 seconds', 9e8 + n, 1, 0, now - interval '10 seconds', 1, 1000
    FROM generate_series(1, ${slices}::int) n, (SELECT clock_timestamp() AS now) clock`;
}

/** Deletes a queue, and stands still in the middle of that; it ends with the deletion, or as if there had been none. */
export async function holdDeletion(
  broker: Broker,
  queue: string,
  end: "ROLLBACK" | "COMMIT" = "ROLLBACK",
): Promise<Held> {
  return await holdWith(
    broker.sql,
    `DELETE FROM queues WHERE id = ${await broker.idOf(queue)}`,
    end,
  );
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
