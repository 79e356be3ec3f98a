import { z } from "@hono/zod-openapi";
import { subscriptionDefaults, subscriptionNotFound } from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { replayPoint } from "../replay/replay-point.ts";
import {
  changesOf,
  pageQuery,
  queueName,
  subscriptionPath,
  timestamp,
  topicName,
  topicPath,
} from "../fields.ts";

/** Checked by the engine, which knows its language; kept as it came, whatever its keys are. */
const filterPolicy = z
  .custom<object>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "a filter policy is a JSON object",
  )
  .nullable()
  .openapi({
    type: ["object", "null"],
    description: "SNS' filter policy language; null accepts every message",
    example: { store: ["north"], total: [{ numeric: [">=", 100] }] },
  });

const settings = {
  filterPolicy,
  filterPolicyScope: z.enum(["MessageAttributes", "MessageBody"]).openapi({
    default: subscriptionDefaults.filterPolicyScope,
    description: "What the policy looks at; a body is a JSON object",
  }),
  rawDelivery: z.boolean().openapi({
    default: subscriptionDefaults.rawDelivery,
    description:
      "Whether the queue gets messages as they are, or each inside the JSON of an SNS notification",
  }),
  redrivePolicy: z.strictObject({ deadLetterQueue: queueName }).nullable().openapi({
    description:
      "Where deliveries go while the queue is deleted; null: the subscription ends with the queue",
  }),
};

const subscriptionSchema = z
  .object({
    id: z.uuid(),
    topic: topicName,
    queue: queueName,
    queueDeleted: z.boolean(),
    ...settings,
    createdAt: timestamp,
  })
  .openapi("Subscription");
const pageSchema = z.object({
  subscriptions: z.array(subscriptionSchema),
  nextCursor: z.string().optional(),
});
const subscriptionsQuery = pageQuery.omit({ prefix: true });
const TAG = "Subscriptions";

/** Subscribe queues to topics, look at and end subscriptions. */
export function addSubscriptionEndpoints(api: Api): void {
  addSubscribeEndpoint(api);
  addSubscriptionLists(api);
  addEndpointsOfOne(api);
}

function addSubscribeEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/topics/{topic}/subscriptions",
      operationId: "subscribe",
      summary: "Subscribe a queue to a topic",
      description:
        "Counts for every publish that begins after this call was answered. Idempotent: subscribed already with the same " +
        "settings answers 200, with others 409.",
      tag: TAG,
      params: topicPath,
      body: z.strictObject({
        queue: queueName,
        replayFrom: replayPoint.optional().openapi({
          description:
            "A new subscription also gets what the archive of the topic has from there on: a time, or the id of a message",
        }),
        ...z.strictObject(settings).partial().shape,
      }),
      example: { queue: "billing" },
      responses: {
        201: { description: "Subscribed", schema: subscriptionSchema },
        200: { description: "It was subscribed already", schema: subscriptionSchema },
      },
      errors: [
        "topic_not_found",
        "queue_not_found",
        "subscription_exists",
        "invalid_filter_policy",
        "topic_not_archived",
        "message_not_found",
      ],
    },
    async ({ c, params, body: { queue, ...body } }) => {
      const { engine, account } = c.var;
      const { subscription, created } = await engine.subscribe(account, params.topic, queue, body);
      return c.json(subscription, created ? 201 : 200);
    },
  );
}

function addSubscriptionLists(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/topics/{topic}/subscriptions",
      operationId: "listSubscriptionsOfTopic",
      summary: "List the subscriptions of a topic",
      tag: TAG,
      params: topicPath,
      query: subscriptionsQuery,
      responses: { 200: { description: "A page, oldest first", schema: pageSchema } },
      errors: ["topic_not_found", "too_many_requests"],
    },
    async ({ c, params, query }) => {
      const { engine, account } = c.var;
      const topic = await engine.topicDirectory.get(account, params.topic);
      const { items, nextCursor } = await engine.subscriptions.list(account, topic.id, query);
      return c.json({ subscriptions: items, nextCursor });
    },
  );

  endpoint(
    api,
    {
      method: "get",
      path: "/v1/subscriptions",
      operationId: "listSubscriptions",
      summary: "List all subscriptions",
      tag: TAG,
      query: subscriptionsQuery,
      responses: { 200: { description: "A page, oldest first", schema: pageSchema } },
      errors: ["too_many_requests"],
    },
    async ({ c, query }) => {
      const { items, nextCursor } = await c.var.engine.subscriptions.list(
        c.var.account,
        undefined,
        query,
      );
      return c.json({ subscriptions: items, nextCursor });
    },
  );
}

function addEndpointsOfOne(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/subscriptions/{id}",
      operationId: "getSubscription",
      summary: "Look at a subscription",
      tag: TAG,
      params: subscriptionPath,
      responses: { 200: { description: "The subscription", schema: subscriptionSchema } },
      errors: ["subscription_not_found"],
    },
    async ({ c, params }) => {
      const subscription = await c.var.engine.subscriptions.find(c.var.account, params.id);
      if (!subscription) throw subscriptionNotFound(params.id);
      return c.json(subscription);
    },
  );

  endpoint(
    api,
    {
      method: "patch",
      path: "/v1/subscriptions/{id}",
      operationId: "updateSubscription",
      summary: "Change a subscription",
      description:
        "Fields that are absent stay as they are; null clears. Counts for every publish that begins after this call was answered.",
      tag: TAG,
      params: subscriptionPath,
      body: changesOf(settings),
      example: { filterPolicy: { tenant: ["acme"] } },
      responses: { 200: { description: "As it is now", schema: subscriptionSchema } },
      errors: ["subscription_not_found", "invalid_filter_policy"],
    },
    async ({ c, params, body }) =>
      c.json(await c.var.engine.subscriptions.update(c.var.account, params.id, body)),
  );

  endpoint(
    api,
    {
      method: "delete",
      path: "/v1/subscriptions/{id}",
      operationId: "unsubscribe",
      summary: "End a subscription",
      tag: TAG,
      params: subscriptionPath,
      responses: { 204: { description: "Ended; what the queue has stays there" } },
      errors: ["subscription_not_found"],
    },
    async ({ c, params }) => {
      await c.var.engine.subscriptions.delete(c.var.account, params.id);
      return c.body(null, 204);
    },
  );
}
