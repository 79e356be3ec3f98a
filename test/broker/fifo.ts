import type { Content } from "./content.ts";
import type { Client, ReceivedMessage } from "./client.ts";

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

/** Of messages, the bodies of each group in order. */
export function byGroup(messages: readonly Pick<ReceivedMessage, "body" | "groupId">[]) {
  const groups: Record<string, string[]> = {};
  for (const { body, groupId = "" } of messages) (groups[groupId] ??= []).push(body);
  return groups;
}
