import { z } from "@hono/zod-openapi";
import { topicNotFound, type Topic } from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { pageQuery, tags, timestamp, topicName, topicPath } from "../fields.ts";

const archive = z
  .strictObject({ days: z.number().int().min(1, "at least 1").max(365, "at most 365") })
  .nullable()
  .openapi({
    description:
      "For how many days what is published is kept for replays; null keeps nothing, and ends an archive for good",
  });

const topicSchema = z
  .object({ name: topicName, tags, archive, createdAt: timestamp })
  .openapi("Topic");
const TAG = "Topics";

/** Create, look at, list, change and delete topics. */
export function addTopicEndpoints(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/topics",
      summary: "Create a topic",
      description: "Idempotent: the same attributes again answer 200, others 409.",
      tag: TAG,
      body: z.strictObject({
        name: topicName,
        tags: tags.optional(),
        archive: archive.optional(),
      }),
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
      summary: "List topics",
      tag: TAG,
      query: pageQuery,
      responses: {
        200: {
          description: "A page, in order of names",
          schema: z.object({ topics: z.array(topicSchema), nextCursor: z.string().optional() }),
        },
      },
    },
    async ({ c, query }) => {
      const { items, nextCursor } = await c.var.engine.topics.list(c.var.account, query);
      return c.json({ topics: items.map(shown), nextCursor });
    },
  );

  endpoint(
    api,
    {
      method: "get",
      path: "/v1/topics/{topic}",
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
      summary: "Change a topic",
      tag: TAG,
      params: topicPath,
      body: z.strictObject({ tags, archive }).partial(),
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

function shown({ name, tags: of, archive: kept, createdAt }: Topic) {
  return { name, tags: of, archive: kept, createdAt };
}
