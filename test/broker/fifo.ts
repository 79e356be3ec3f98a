import type { SettableTopic } from "@sluice/engine";

import { ACCOUNT, type Broker } from "./broker.ts";
import type { Client, ReceivedMessage } from "./client.ts";
import type { Content } from "./content.ts";

let names = 0;

/** The name of a new FIFO topic that these queues are subscribed to. */
export async function newFifoTopic(
  broker: Broker,
  queues: readonly string[],
  settings: SettableTopic = {},
): Promise<string> {
  names += 1;
  const name = `ordered-${names}.fifo`;
  await broker.engine.topics.create(ACCOUNT, { name, fifo: true, ...settings });
  for (const queue of queues) await broker.engine.subscribe(ACCOUNT, name, queue);
  return name;
}

/** Ends the connections on which dispatchers are at work at this moment; how many those were. */
export async function endFanOuts(broker: Broker): Promise<number> {
  const rows = await broker.sql`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'test-dispatcher' AND state <> 'idle'`;
  return rows.length;
}

/** Messages of one group, each with a deduplication id of its own: `a0` to `a2` for `grouped("a", 3)`. */
export function grouped(groupId: string, count: number, from = 0): Content[] {
  return Array.from({ length: count }, (_, index) => one(groupId, `${groupId}${from + index}`));
}

/** A message of a group; its body is its deduplication id. */
export function one(groupId: string, body: string): Content {
  return { body, groupId, deduplicationId: body };
}

/** Takes every message that is to be had, a receive after the other, and acknowledges it; the bodies. */
export async function finishInOrder(
  client: Client,
  queue: string,
  maxMessages = 10,
): Promise<string[]> {
  const bodies: string[] = [];
  for (;;) {
    const messages = await client.receive(queue, { maxMessages });
    if (messages.length === 0) return bodies;
    bodies.push(...messages.map(({ body }) => body));
    const outcomes = await client.acknowledge(queue, messages);
    if (outcomes.some((outcome) => outcome !== "ok")) throw new Error(outcomes.join());
  }
}

/**
 * Receives and acknowledges all there is.
 *
 * @param expected - So many are there; until they have come it asks again, since a dispatcher that comes to them second
 * may have their groups locked, which a receive that does not wait leaves to the next one.
 */
export async function finishAll(
  client: Client,
  queue: string,
  expected = 0,
): Promise<ReceivedMessage[]> {
  const all: ReceivedMessage[] = [];
  for (;;) {
    const messages = await client.receive(queue, { maxMessages: 1_000 });
    if (messages.length === 0 && all.length >= expected) return all;
    all.push(...messages);
    await client.acknowledge(queue, messages);
  }
}

/** Of messages, the bodies of each group in order. */
export function byGroup(messages: readonly Pick<ReceivedMessage, "body" | "groupId">[]) {
  const groups: Record<string, string[]> = {};
  for (const { body, groupId = "" } of messages) (groups[groupId] ??= []).push(body);
  return groups;
}
