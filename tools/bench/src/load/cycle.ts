import type { Client } from "../systems/client.ts";
import { nothingDone, type Assignment, type Done } from "./assignment.ts";
import { bodyMaker } from "./bodies.ts";
import { now } from "./clock.ts";
import { Ledger } from "./ledger.ts";

/**
 * Sends a batch to each of its queues, receives and acknowledges it, and sends the next, for a time: what goes in comes
 * out.
 */
export async function cycle(
  { load, consumes, cycle: plan }: Assignment,
  client: Client,
): Promise<() => Promise<Done>> {
  const { seconds, parts } = plan ?? { seconds: 1, parts: 1 };
  const makeBody = bodyMaker(load.body);
  const counts = Array.from({ length: parts }, () => 0);
  const complaints: string[] = [];

  const turn = async (queue: string) => {
    let ledger = new Ledger(load.publishBatch);
    let arrived: () => void = () => undefined;
    const stop = await client.consume(queue, load, (stamps) => {
      ledger.take(stamps);
      if (ledger.complete) arrived();
    });
    const start = now();
    for (let elapsed = 0; elapsed < seconds; elapsed = (now() - start) / 1e6) {
      // The part in which it begins has it, so that none is left out.
      const part = Math.floor((elapsed / seconds) * parts);
      ledger = new Ledger(load.publishBatch);
      const all = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const bodies = Array.from({ length: load.publishBatch }, (_, n) => makeBody(n, now()));
      await client.send(queue, bodies, 0);
      await all;
      counts[part] = (counts[part] ?? 0) + load.publishBatch;
      const complaint = ledger.complaint();
      if (complaint !== undefined) complaints.push(`${queue}: ${complaint}`);
    }
    await stop();
  };

  return async () => {
    await Promise.all(consumes.map(turn));
    const count = counts.reduce((sum, part) => sum + part, 0);
    return { ...nothingDone, count, parts: counts, complaints };
  };
}
