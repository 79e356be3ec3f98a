import { SluiceError, type Connection } from "@sluice/client";
import type { QueueOfWorld, World } from "./history/history.ts";
import { filters as known } from "./kinds.ts";

/** What the server under test can do beyond standard topics and queues. */
export interface Capabilities {
  fifo: boolean;
  fifoTopics: boolean;
  filters: boolean;
}

const standardQueues: QueueOfWorld[] = [
  { name: "billing", visibilityTimeout: 5 },
  { name: "audit", visibilityTimeout: 5 },
  { name: "search-dead", visibilityTimeout: 4 },
  {
    name: "search",
    visibilityTimeout: 4,
    deadLetterQueue: "search-dead",
    maxReceiveCount: 3,
  },
  // Shared by two queues that never get the same message.
  { name: "dead", visibilityTimeout: 4 },
  { name: "mail", visibilityTimeout: 3, deadLetterQueue: "dead", maxReceiveCount: 2 },
  { name: "jobs", visibilityTimeout: 5, deadLetterQueue: "dead", maxReceiveCount: 3 },
  { name: "later", visibilityTimeout: 5, delay: 2 },
  { name: "flapping", visibilityTimeout: 5 },
  { name: "purged", visibilityTimeout: 5 },
  { name: "paused", visibilityTimeout: 5 },
  // These two are consumed by the SDK's own consumers.
  { name: "handled", visibilityTimeout: 4 },
  { name: "bulk", visibilityTimeout: 4 },
];

const standardSubscriptions: World["subscriptions"] = [
  { topic: "orders", queue: "billing" },
  { topic: "orders", queue: "audit" },
  { topic: "events", queue: "audit" },
  { topic: "orders", queue: "search" },
  { topic: "events", queue: "mail" },
  { topic: "events", queue: "later" },
  { topic: "orders", queue: "flapping" },
  { topic: "events", queue: "purged" },
  { topic: "orders", queue: "paused" },
  { topic: "orders", queue: "handled" },
  { topic: "events", queue: "bulk" },
];

/** Queues that want some kinds of messages only. */
const filteredQueues = ["red", "patterned", "heavy"] as const;
/** What these want is changed. The first has the only policy of its topic, so that there is none now and then. */
const changingSubscription = { topic: "events", queue: "changing", ...known.red };
const changingFifoSubscription = { topic: "entries.fifo", queue: "changing.fifo", ...known.red };

/** The world of a run, as far as the server has what it needs. */
export function worldFor({ fifo, fifoTopics, filters }: Capabilities): World {
  return {
    topics: [
      { name: "orders" },
      { name: "events" },
      ...(fifoTopics ? [{ name: "entries.fifo", fifo: true }] : []),
    ],
    queues: [
      ...standardQueues,
      ...(filters
        ? [...filteredQueues, changingSubscription.queue].map((name) => ({
            name,
            visibilityTimeout: 5,
          }))
        : []),
      ...(fifo ? [{ name: "steps.fifo", visibilityTimeout: 4, fifo }] : []),
      ...(fifoTopics ? [{ name: "entries.fifo", visibilityTimeout: 4, fifo: true }] : []),
      ...(fifoTopics && filters
        ? [{ name: changingFifoSubscription.queue, visibilityTimeout: 4, fifo: true }]
        : []),
    ],
    subscriptions: [
      ...standardSubscriptions,
      ...(filters
        ? [
            ...filteredQueues.map((queue) => ({ topic: "orders", queue, ...known[queue] })),
            changingSubscription,
          ]
        : []),
      ...(fifoTopics ? [{ topic: "entries.fifo", queue: "entries.fifo" }] : []),
      ...(fifoTopics && filters ? [changingFifoSubscription] : []),
    ],
  };
}

/** Finds out what a server can do by asking for it. */
export async function probeCapabilities(connection: Connection): Promise<Capabilities> {
  const fifo = await isAccepted(connection, "/v1/queues", { name: "probe.fifo", fifo: true });
  const fifoTopics =
    fifo && (await isAccepted(connection, "/v1/topics", { name: "probe.fifo", fifo: true }));
  await post(connection, "/v1/topics", { name: "probe" });
  await post(connection, "/v1/queues", { name: "probe" });
  const filters = await isAccepted(connection, "/v1/topics/probe/subscriptions", {
    queue: "probe",
    filterPolicy: { kind: ["red"] },
  });
  for (const path of [
    "/v1/topics/probe",
    "/v1/queues/probe",
    ...(fifo ? ["/v1/queues/probe.fifo"] : []),
    ...(fifoTopics ? ["/v1/topics/probe.fifo"] : []),
  ])
    await connection.request({ method: "DELETE", path });
  return { fifo, fifoTopics, filters };
}

/** Makes everything there is in a world. */
export async function createWorld(
  connection: Connection,
  { topics, queues, subscriptions }: World,
): Promise<void> {
  for (const topic of topics) await post(connection, "/v1/topics", topic);
  for (const { deadLetterQueue, maxReceiveCount, ...queue } of queues) {
    const redrive =
      deadLetterQueue === undefined ? {} : { redrive: { deadLetterQueue, maxReceiveCount } };
    await post(connection, "/v1/queues", { ...queue, ...redrive });
  }
  for (const { topic, queue, filterPolicy, filterPolicyScope } of subscriptions) {
    const body = { queue, filterPolicy, filterPolicyScope };
    await post(connection, `/v1/topics/${topic}/subscriptions`, body);
  }
}

async function post(connection: Connection, path: string, body: object): Promise<void> {
  await connection.request({ method: "POST", path, body, retry: true });
}

async function isAccepted(connection: Connection, path: string, body: object): Promise<boolean> {
  try {
    await post(connection, path, body);
    return true;
  } catch (error) {
    if (error instanceof SluiceError && error.status !== undefined && error.status < 500)
      return false;
    throw error;
  }
}
