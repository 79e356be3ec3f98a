import type { Connection } from "@sluice/client";
import { createProducer } from "@sluice/producer";
import type { Declared } from "./github-events.ts";
import { paced } from "./paced.ts";
import type { PublishedLog } from "./measure/published-log.ts";
import type { Webhook } from "./webhooks.ts";

export interface PublishPlan {
  readonly webhooks: readonly Webhook[];
  /** How often all of them are published. */
  readonly rounds: number;
  /** Messages a second; 0: as fast as it goes. */
  readonly rate: number;
  readonly log: PublishedLog;
  readonly signal: AbortSignal;
}

/** Publishes each webhook as it comes in; what is published while a call is under way shares the next one. */
export async function publish(
  connection: Connection,
  events: Declared["events"],
  { webhooks, rounds, rate, log, signal }: PublishPlan,
): Promise<void> {
  await using producer = createProducer(connection);

  const publishOne = async ({ type, payload, print }: Webhook) => {
    const publishedAt = performance.now();
    const { messageId } = await producer.publish(events, payload, { attributes: { event: type } });
    log.add(messageId, { print, publishedAt });
  };

  for await (const due of paced(repeated(webhooks, rounds), { rate, signal })) {
    await Promise.all(due.map(publishOne));
  }
}

function* repeated<T>(items: readonly T[], times: number): Generator<T> {
  for (let round = 0; round < times; round++) yield* items;
}
