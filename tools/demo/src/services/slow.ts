import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { EventQueue } from "../github-events.ts";
import type { ServiceContext } from "./service.ts";

/** How many first attempts fail. */
export const failureRate = 0.05;

/**
 * Takes 5 to 20 ms for a message and fails now and then. It consumes with a **handler**, several at once: a message
 * whose handler returns is acknowledged, one whose handler throws comes back a second later.
 */
export async function slow(
  connection: Connection,
  queue: EventQueue,
  { tally, signal, onError }: ServiceContext,
): Promise<void> {
  const consumer = createConsumer(connection, queue, {
    concurrency: 8,
    signal,
    onError: (failure) => {
      if (!(failure.stage === "handle" && failure.error instanceof Stumble)) onError(failure);
    },
  });

  await consumer.run(async (message) => {
    tally.received(message);
    await sleep(5 + 15 * Math.random());
    if (message.receiveCount === 1 && Math.random() < failureRate) throw new Stumble();
    tally.succeeded(message);
  });
}

class Stumble extends Error {
  override readonly message = "This attempt was meant to fail.";
}
