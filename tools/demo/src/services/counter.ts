import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { EventQueue } from "../github-events.ts";
import type { ServiceContext } from "./service.ts";

/**
 * Counts events by type. It consumes with a **loop**, one message at a time: asking for the next one acknowledges the
 * one before.
 */
export async function counter(
  connection: Connection,
  queue: EventQueue,
  { tally, signal, onError }: ServiceContext,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();

  for await (const message of createConsumer(connection, queue, { signal, onError })) {
    tally.received(message);
    const type = String(message.attributes["event"]);
    counts.set(type, (counts.get(type) ?? 0) + 1);
    tally.succeeded(message);
  }
  return counts;
}
