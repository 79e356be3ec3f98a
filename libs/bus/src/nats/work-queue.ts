import {
  AckPolicy,
  DiscardPolicy,
  jetstream,
  JetStreamApiError,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type Consumer,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { nanos, type NatsConnection } from "@nats-io/transport-node";

/*
 * Why a JetStream work queue and not a core NATS queue group. Measured on two cores, nats-server 2.9.10, two takers,
 * 12,000 announcements at 3,000 a second, from publish to handler; ranges are the two runs of each:
 *
 *                   p50            p99         CPU for 10,000 announcements   of 2,000 hints sent while one taker is
 *                                              server   sender   takers       paused (SIGSTOP), the other gets
 *   queue group     0.11 ms        0.6–1.2 ms  0.27 s   0.25 s   0.35 s       half, and never the rest
 *   pulls of 256    0.16–0.21 ms   0.8–1.8 ms  0.64 s   0.28 s   0.51 s       all, over 1 % of them after 1 s (ack_wait)
 *   pulls of 16 *   0.25–0.35 ms   0.9–5.3 ms  0.86 s   0.30 s   0.69 s       1,989 at once, 11 after 1 s
 *   pulls of 1      0.21 ms        0.9 ms      0.89 s   0.24 s   0.72 s       all, 99 % of them within 0.6 ms
 *   * this adapter whole, on a machine that was busy with other work; the others are bare scripts on an idle one
 *
 * A pull is a demand: a taker that is paused, dead or busy asks for nothing more, where a queue group keeps giving it
 * its share. That is worth 0.1 ms and CPU that does not show beside one commit for each announcement. Idle, neither
 * costs anything (server 0.1 % of a core, taker 0.03 %).
 *
 * Nothing waits for the acknowledgement of a publish, and the stream lives in memory: hints that are lost are swept.
 */

/** One pull. */
export const pull = {
  /** What a taker that stops breathing can hold back. */
  max_messages: 16,
  /** How long it waits for messages, milliseconds. */
  expires: 30_000,
  /** Two missed ones mean that the stream is gone and nobody said so, milliseconds. */
  idle_heartbeat: 5_000,
};

/** Name of the one consumer that all takers share. */
const consumerName = "takers";
/** "stream name already in use with a different configuration" */
const streamDiffers = 10_058;

const limits = {
  retention: RetentionPolicy.Workqueue,
  storage: StorageType.Memory,
  discard: DiscardPolicy.Old,
  max_age: nanos(60_000),
  max_msgs: 10_000,
  max_bytes: 32 * 1_024 * 1_024,
};

/**
 * Makes sure of the work queue of this subject, as after a restart of a server that kept nothing, and gives the
 * consumer to pull from.
 *
 * @throws when the server has no JetStream, or has it and cannot do it now
 */
export async function ensureWorkQueue(nats: NatsConnection, subject: string): Promise<Consumer> {
  const manager = await jetstreamManager(nats, { timeout: 2_000 });
  const stream = subject.replaceAll(".", "-");
  await ensureStream(manager, stream, subject);
  await manager.consumers.add(stream, {
    durable_name: consumerName,
    ack_policy: AckPolicy.Explicit,
    // What a taker held when it was paused goes to another about when the sweeper would find it.
    ack_wait: nanos(1_000),
    max_deliver: 3,
    max_ack_pending: 4_096,
  });
  return jetstream(nats).consumers.get(stream, consumerName);
}

async function ensureStream(manager: JetStreamManager, name: string, subject: string) {
  try {
    await manager.streams.add({ name, subjects: [subject], ...limits });
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== streamDiffers) throw error;
    await manager.streams.update(name, { subjects: [subject], ...limits });
  }
}
