import { z } from "@hono/zod-openapi";
import {
  queueDefaults,
  queueNotFound,
  type Engine,
  type ListedQueue,
  type Queue,
  type QueueSettings,
} from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { changesOf, pageQuery, queueName, queuePath, seconds, tags, timestamp } from "../fields.ts";

/** Ten years: "any length into the future" with a bound that dates can express. */
export const MAX_DELAY = 315_360_000;

const settings = {
  visibilityTimeout: seconds(0, 43_200).openapi({ default: queueDefaults.visibilityTimeout }),
  delay: seconds(0, MAX_DELAY).openapi({
    default: queueDefaults.delay,
    description:
      "Seconds until a new message can be received. Where it is as long as the retention, or longer, messages count as sent at its end",
  }),
  retention: seconds(60, 1_209_600).openapi({ default: queueDefaults.retention }),
  maxMessageSize: z
    .number()
    .int("whole bytes")
    .min(1_024, "at least 1024 bytes")
    .max(1_048_576, "at most 1048576 bytes")
    .openapi({ default: queueDefaults.maxMessageSize }),
  receiveWait: seconds(0, 20).openapi({ default: queueDefaults.receiveWait }),
  redrive: z
    .strictObject({
      deadLetterQueue: queueName,
      maxReceiveCount: z.number().int().min(1, "at least 1").max(1_000, "at most 1000"),
    })
    .nullable()
    .openapi({
      description: "Where a message goes instead of being received more often; null for nowhere",
    }),
  redriveAllow: z
    .discriminatedUnion("permission", [
      z.strictObject({ permission: z.enum(["allowAll", "denyAll"]) }),
      z.strictObject({
        permission: z.literal("byQueue"),
        queues: z.array(queueName).min(1).max(10, "at most 10 queues"),
      }),
    ])
    .openapi({
      description: "Which queues may name this one as their dead-letter queue; default: all",
    }),
  contentBasedDeduplication: z.boolean().openapi({
    default: false,
    description: "FIFO queues: a message without a deduplicationId gets the SHA-256 of its body",
  }),
  deduplicationScope: z.enum(["queue", "messageGroup"]).openapi({
    default: "queue",
    description: "FIFO queues: within what a deduplicationId counts",
  }),
  fifoThroughputLimit: z.enum(["perQueue", "perMessageGroupId"]).openapi({
    default: "perQueue",
    description: "FIFO queues: as SQS has it; perMessageGroupId needs the scope messageGroup",
  }),
  paused: z
    .boolean()
    .openapi({ default: false, description: "Receives get nothing; sends and fan-out go on" }),
  tags,
};

const fifo = z.boolean().openapi({
  default: false,
  description:
    "Messages of a group come in order, and duplicates not at all; the name ends in .fifo. Cannot be changed",
});

const newQueue = z.strictObject({
  name: queueName,
  ...z.strictObject({ fifo, ...settings }).partial().shape,
});

const queueSchema = z
  .object({ name: queueName, fifo, ...settings, createdAt: timestamp })
  .openapi("Queue");
const countedQueueSchema = queueSchema
  .extend({
    counts: z.object({
      visible: z.int(),
      inFlight: z.int(),
      delayed: z.int(),
      oldestMessageAge: z.int().nullable().openapi({
        description:
          "Seconds; null when the queue is empty. In a backlog of more than 1,000 batches: of those that have been visible for longest",
      }),
    }),
    totals: z
      .object({
        sent: z.int().openapi({ description: "Sent or fanned out to it" }),
        deadLettersIn: z.int().openapi({ description: "Came as dead letters of other queues" }),
        redrivenIn: z.int().openapi({ description: "Came by a redrive" }),
        acknowledged: z.int(),
        deadLettered: z.int().openapi({ description: "Went to its dead-letter queue" }),
        redriven: z.int().openapi({ description: "Went by a redrive" }),
        expired: z.int(),
        purged: z.int(),
        cancelled: z.int(),
      })
      .openapi({
        description:
          "Messages since the queue was created. What came, less what went, is what it holds.",
      }),
  })
  .openapi("QueueWithCounts");
const TAG = "Queues";

/** Create, look at, list, change and delete queues. */
export function addQueueEndpoints(api: Api): void {
  addAllQueuesEndpoints(api);
  addOneQueueEndpoints(api);
}

/** Of all queues. */
function addAllQueuesEndpoints(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/queues",
      operationId: "createQueue",
      summary: "Create a queue",
      description:
        "Idempotent: the same settings again answer 200, others 409 with what differs. Durations are in seconds, sizes in bytes.",
      tag: TAG,
      body: newQueue,
      example: { name: "billing", visibilityTimeout: 60 },
      responses: {
        201: { description: "Created", schema: queueSchema },
        200: { description: "It was there, with the same settings", schema: queueSchema },
      },
      errors: ["invalid_name", "queue_exists", "queue_deleted_recently"],
    },
    async ({ c, body: { name, ...some } }) => {
      const { queue, created } = await c.var.engine.queues.create(c.var.account, name, some);
      return c.json(shown(queue), created ? 201 : 200);
    },
  );

  endpoint(
    api,
    {
      method: "get",
      path: "/v1/queues",
      operationId: "listQueues",
      summary: "List queues",
      tag: TAG,
      query: pageQuery,
      responses: {
        200: {
          description: "A page, in order of names",
          schema: z.object({ queues: z.array(queueSchema), nextCursor: z.string().optional() }),
        },
      },
      errors: ["too_many_requests"],
    },
    async ({ c, query }) => {
      const { items, nextCursor } = await c.var.engine.queues.list(c.var.account, query);
      return c.json({ queues: items.map(shown), nextCursor });
    },
  );
}

/** Of one queue. */
function addOneQueueEndpoints(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/queues/{queue}",
      operationId: "getQueue",
      summary: "Look at a queue and count its messages",
      tag: TAG,
      params: queuePath,
      responses: { 200: { description: "The queue", schema: countedQueueSchema } },
      errors: ["queue_not_found"],
    },
    async ({ c, params }) => {
      const queue = await c.var.engine.queues.find(c.var.account, params.queue);
      if (!queue) throw queueNotFound(params.queue);
      const { totals, ...counts } = await c.var.engine.queues.counts(queue);
      return c.json({ ...shown(queue), counts, totals });
    },
  );

  endpoint(
    api,
    {
      method: "patch",
      path: "/v1/queues/{queue}",
      operationId: "updateQueue",
      summary: "Change a queue",
      description:
        "Counts for every call from the answer on; retention also for what is stored already.",
      tag: TAG,
      params: queuePath,
      body: changesOf(settings).refine(
        (some) => Object.keys(some).length > 0,
        "name at least one setting to change",
      ),
      example: { visibilityTimeout: 120 },
      responses: { 200: { description: "As it is now", schema: queueSchema } },
      errors: ["queue_not_found"],
    },
    async ({ c, params, body }) => {
      const { engine, account } = c.var;
      return c.json(shown(await change(engine, { account, name: params.queue }, body)));
    },
  );

  endpoint(
    api,
    {
      method: "delete",
      path: "/v1/queues/{queue}",
      operationId: "deleteQueue",
      summary: "Delete a queue, its messages and its subscriptions",
      tag: TAG,
      params: queuePath,
      responses: { 204: { description: "Deleted" } },
      errors: ["queue_not_found"],
    },
    async ({ c, params }) => {
      await c.var.engine.queues.delete(c.var.account, params.queue);
      c.var.engine.changed({ kind: "queue", account: c.var.account, name: params.queue });
      return c.body(null, 204);
    },
  );
}

async function change(
  engine: Engine,
  { account, name }: { account: string; name: string },
  settingsToChange: Partial<QueueSettings>,
): Promise<Queue> {
  const queue = await engine.queues.update(account, name, settingsToChange);
  engine.changed({ kind: "queue", account, name });
  // Whoever waits for it asks again: it may go on after a pause, or expire later than it did.
  engine.bus.signalQueues([queue.id]);
  return queue;
}

function shown(queue: ListedQueue) {
  const { name, visibilityTimeout, delay, retention, maxMessageSize, receiveWait } = queue;
  const { redrive, redriveAllow, paused, tags: of, createdAt } = queue;
  const { contentBasedDeduplication, deduplicationScope, fifoThroughputLimit } = queue;
  return {
    name,
    fifo: queue.fifo,
    contentBasedDeduplication,
    deduplicationScope,
    fifoThroughputLimit,
    visibilityTimeout,
    delay,
    retention,
    maxMessageSize,
    receiveWait,
    redrive,
    redriveAllow,
    paused,
    tags: of,
    createdAt,
  };
}
