import { appendFile } from "node:fs/promises";
import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { EventQueue } from "../github-events.ts";
import type { ServiceContext } from "./service.ts";

/**
 * Keeps a log of everything that happens. It consumes in **batches**: what one receive brings becomes one write, and
 * is acknowledged by one call once the write is done.
 */
export async function audit(
  connection: Connection,
  queue: EventQueue,
  { tally, signal, onError, file }: ServiceContext & { readonly file: string },
): Promise<void> {
  const consumer = createConsumer(connection, queue, { signal, onError });

  await consumer.runBatches(async (messages) => {
    for (const message of messages) tally.received(message);
    const lines = messages.map(({ id, sentAt, attributes, payload: { action, sender } }) =>
      JSON.stringify({ id, sentAt, event: attributes["event"], action, by: sender?.login }),
    );
    await appendFile(file, `${lines.join("\n")}\n`);
    for (const message of messages) tally.succeeded(message);
  });
}
