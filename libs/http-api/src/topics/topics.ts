import { z } from "@hono/zod-openapi";
import { topicDefaults, topicNotFound, type ListedTopic, type Topic } from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { changesOf, pageQuery, tags, timestamp, topicName, topicPath } from "../fields.ts";

const archive = z
  .strictObject({ days: z.number().int().min(1, "at least 1").max(365, "at most 365") })
  .nullable()
  .openapi({
    description:
      "For how many days what is published is kept for replays; null keeps nothing, and ends an archive for good",
  });

const settings = {
  contentBasedDeduplication: z.boolean().openapi({
    default: false,
    description: "FIFO topics: a message without a deduplicationId gets the SHA-256 of its body",
  }),
  fifoThroughputScope: z.enum(["topic", "messageGroup"]).openapi({
    default: "topic",
    description: "FIFO topics: within what a deduplicationId counts",
  }),
  maxMessageSize: z
    .number()
    .int("whole bytes")
    .min(1_024, "at least 1024 bytes")
    .max(1_048_576, "at most 1048576 bytes")
    .openapi({ default: topicDefaults.maxMessageSize }),
  archive,
  tags,
};

const fifo = z.boolean().openapi({
  default: false,
  description:
    "Messages of a group are fanned out in order, and duplicates not at all; the name ends in .fifo. Cannot be changed",
});

const newTopic = z.strictObject({
  name: topicName,
  ...z.strictObject({ fifo, ...settings }).partial().shape,
});
const topicSchema = z
  .object({ name: topicName, fifo, ...settings, createdAt: timestamp })
  .openapi("Topic");
const TAG = "Topics";

/** Create, look at, list, change and delete topics. */
export function addTopicEndpoints(api: Api): void {
  addAllTopicsEndpoints(api);
  addOneTopicEndpoints(api);
}

/** Of all topics. */
function addAllTopicsEndpoints(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/topics",
      operationId: "createTopic",
      summary: "Create a topic",
      description: "Idempotent: the same settings again answer 200, others 409 with what differs.",
      tag: TAG,
      body: newTopic,
      example: { name: "orders" },
      responses: {
        201: { description: "Created", schema: topicSchema },
        200: { description: "It was there, with the same attributes", schema: topicSchema },
      },
      errors: ["invalid_name", "topic_exists"],
    },
    async ({ c, body }) => {
      const { topic, created } = await c.var.engine.topics.create(c.var.account, body);
      return c.json(shown(topic), created ? 201 : 200);
    },
  );

  endpoint(
    api,
    {
      method: "get",
      path: "/v1/topics",
      operationId: "listTopics",
      summary: "List topics",
      tag: TAG,
      query: pageQuery,
      responses: {
        200: {
          description: "A page, in order of names",
          schema: z.object({ topics: z.array(topicSchema), nextCursor: z.string().optional() }),
        },
      },
      errors: ["too_many_requests"],
    },
    async ({ c, query }) => {
      const { items, nextCursor } = await c.var.engine.topics.list(c.var.account, query);
      return c.json({ topics: items.map(shown), nextCursor });
    },
  );
}

/** Of one topic. */
function addOneTopicEndpoints(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/topics/{topic}",
      operationId: "getTopic",
      summary: "Look at a topic",
      tag: TAG,
      params: topicPath,
      responses: { 200: { description: "The topic", schema: topicSchema } },
      errors: ["topic_not_found"],
    },
    async ({ c, params }) => {
      const topic = await c.var.engine.topics.find(c.var.account, params.topic);
      if (!topic) throw topicNotFound(params.topic);
      return c.json(shown(topic));
    },
  );

  endpoint(
    api,
    {
      method: "patch",
      path: "/v1/topics/{topic}",
      operationId: "updateTopic",
      summary: "Change a topic",
      tag: TAG,
      params: topicPath,
      body: changesOf(settings).refine(
        (some) => Object.keys(some).length > 0,
        "name at least one setting to change",
      ),
      example: { archive: { days: 7 } },
      responses: { 200: { description: "As it is now", schema: topicSchema } },
      errors: ["topic_not_found"],
    },
    async ({ c, params, body }) => {
      const topic = await c.var.engine.topics.update(c.var.account, params.topic, body);
      c.var.engine.changed({ kind: "topic", account: c.var.account, name: params.topic });
      return c.json(shown(topic));
    },
  );

  endpoint(
    api,
    {
      method: "delete",
      path: "/v1/topics/{topic}",
      operationId: "deleteTopic",
      summary: "Delete a topic and its subscriptions",
      tag: TAG,
      params: topicPath,
      responses: {
        204: { description: "Deleted; what was fanned out before stays in the queues" },
      },
      errors: ["topic_not_found"],
    },
    async ({ c, params }) => {
      await c.var.engine.topics.delete(c.var.account, params.topic);
      c.var.engine.changed({ kind: "topic", account: c.var.account, name: params.topic });
      return c.body(null, 204);
    },
  );
}

function shown(topic: ListedTopic & Pick<Partial<Topic>, "awsAttributes">) {
  const { id: _id, account: _account, awsAttributes: _aws, archivedSince: _since, ...own } = topic;
  return own;
}
