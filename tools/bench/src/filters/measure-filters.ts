import { randomBytes } from "node:crypto";

import {
  connect,
  createAdmin,
  queue as declareQueue,
  topic as declareTopic,
  type FilterPolicy,
} from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";

export interface FilterWorkload {
  /** What the ten queues filter on; all of their policies differ, and accept everything. */
  filterOn: "nothing" | "attributes" | "bodies";
  /** Messages published. */
  messages: number;
  /** Bytes of each body, which is JSON. */
  bodyBytes: number;
}

export interface FilterResult {
  seconds: number;
  deliveriesPerSecond: number;
}

const QUEUES = 10;
const PUBLISH_BATCH = 100;
const PUBLISHERS = 4;

/**
 * One topic to ten queues, each message accepted, received and acknowledged in each: deliveries a second. What it costs
 * to filter is the difference between two workloads of one installation.
 */
export async function measureFilters(url: string, workload: FilterWorkload): Promise<FilterResult> {
  const connection = connect({ url });
  const admin = createAdmin(connection);
  const topic = `filters-${randomBytes(6).toString("hex")}`;
  const queues = Array.from({ length: QUEUES }, (_, index) => `${topic}-${index}`);
  await admin.topics.create(topic);
  for (const [index, queue] of queues.entries()) {
    await admin.queues.create(queue);
    await admin.subscribe(topic, queue, {
      filterPolicy: policyOf(workload, index),
      filterPolicyScope: workload.filterOn === "bodies" ? "MessageBody" : "MessageAttributes",
    });
  }
  const bodies = Array.from({ length: PUBLISH_BATCH }, () => bodyOf(workload.bodyBytes));
  const attributes = { store: "north", kind: "order-created", total: 250, customer: "acme" };

  const started = performance.now();
  const producer = createProducer(connection);
  let left = workload.messages;
  const publish = async () => {
    while (left > 0) {
      const count = Math.min(left, PUBLISH_BATCH);
      left -= count;
      await producer.publishAll(declareTopic(topic), bodies.slice(0, count), { attributes });
    }
  };
  const consume = async (queue: string) => {
    const consumer = createConsumer(connection, declareQueue(queue), { batchSize: 1_000 });
    let received = 0;
    await consumer.runBatches((messages) => {
      received += messages.length;
      if (received >= workload.messages) void consumer.stop();
    });
  };
  await Promise.all([
    ...Array.from({ length: PUBLISHERS }, publish),
    ...queues.map((queue) => consume(queue)),
  ]);
  const seconds = (performance.now() - started) / 1_000;

  for (const queue of queues) await admin.queues.delete(queue);
  await admin.topics.delete(topic);
  return { seconds, deliveriesPerSecond: (workload.messages * QUEUES) / seconds };
}

function policyOf({ filterOn }: FilterWorkload, index: number): FilterPolicy | null {
  switch (filterOn) {
    case "nothing":
      return null;
    case "attributes":
      return {
        store: ["north", `store-${index}`],
        kind: [{ prefix: "order-" }],
        total: [{ numeric: [">=", 100 - index] }],
        customer: [{ "anything-but": `customer-${index}` }],
      };
    case "bodies":
      return {
        order: { total: [{ numeric: [">=", 100 - index] }], items: { name: [{ prefix: "i" }] } },
      };
    default:
      return filterOn satisfies never;
  }
}

function bodyOf(bytes: number): string {
  const items = Array.from({ length: Math.max(1, Math.floor(bytes / 64) - 1) }, () => ({
    name: `item ${randomBytes(8).toString("hex")}`,
    price: 12.5,
    quantity: 3,
  }));
  return JSON.stringify({ order: { total: 250, items } });
}
