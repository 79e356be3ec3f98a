import { connect, createAdmin, queue as declareQueue, type QueueSettings } from "@sluice/client";
import { createProducer, type SendOptions } from "@sluice/producer";

import { bodyMaker } from "../load/bodies.ts";
import { now } from "../load/clock.ts";

export interface FillOptions {
  url: string;
  queue: string;
  messages: number;
  bytes?: number;
  /** Message groups; makes it a FIFO queue. */
  groups?: number;
  /** Place of the first message in the load. */
  first?: number;
  say?: (line: string) => void;
}

/** As much as one call takes. */
const callSize = 1_000;

/**
 * Makes a queue (if need be) and fills it by the biggest calls there are, a few at once; to a FIFO queue one after
 * another.
 */
export async function fill(options: FillOptions): Promise<void> {
  const { url, queue, messages, bytes = 256, groups, first = 0, say } = options;
  const connection = connect({ url });
  const settings: QueueSettings & { fifo?: boolean } = groups === undefined ? {} : { fifo: true };
  await createAdmin(connection).queues.create(queue, settings);
  await using producer = createProducer(connection);
  const makeBody = bodyMaker({ kind: "random", bytes });
  let next = first;
  const end = first + messages;
  const loop = async () => {
    while (next < end) {
      const start = next;
      next = Math.min(end, start + callSize);
      const bodies = Array.from({ length: next - start }, (_, index) =>
        makeBody(start + index, now()),
      );
      const each = (_: string, index: number): SendOptions & { deduplicationId?: string } => ({
        groupId: `group-${(start + index) % (groups ?? 1)}`,
        deduplicationId: `${start + index}`,
      });
      await producer.sendAll(declareQueue(queue), bodies, groups === undefined ? {} : { each });
      if ((start - first) % 500_000 === 0 && start > first) say?.(`${start - first} loaded`);
    }
  };
  await Promise.all(Array.from({ length: groups === undefined ? 4 : 1 }, loop));
}
