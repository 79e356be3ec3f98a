import { z } from "@hono/zod-openapi";
import { SluiceError, subscriptionNotFound, type Engine, type Subscription } from "@sluice/engine";

import { endpoint, type Api } from "../endpoint.ts";
import { subscriptionPath, timestamp } from "../fields.ts";
import { replayPoint } from "./replay-point.ts";

const replaySchema = z
  .object({
    id: z.uuid(),
    subscription: z.uuid(),
    from: timestamp,
    to: timestamp
      .optional()
      .openapi({ description: "Absent: up to the moment at which its subscription was made" }),
    rate: z.int().optional(),
    status: z.enum(["running", "completed", "cancelled"]),
    replayed: z.int().openapi({ description: "Messages that were put into the queue" }),
    progress: z.number().openapi({ description: "The part of its time that is done, 0 to 1" }),
    createdAt: timestamp,
    finishedAt: timestamp.optional(),
  })
  .openapi("Replay");

const replayPath = subscriptionPath.extend({ replay: z.uuid("a replay id is a UUID") });
const TAG = "Replays";
const LISTED = 100;

/** Deliver a part of the archive of a topic to a subscription again. */
export function addReplayEndpoints(api: Api): void {
  addReplayLists(api);
  addEndpointsOfOne(api);
}

function addReplayLists(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/subscriptions/{id}/replays",
      operationId: "startReplay",
      summary: "Replay the archive to a subscription",
      description:
        "Delivers what the archive of the topic has of that time, through the filter of the subscription as it is then, and to " +
        "no other one. What is published meanwhile goes the normal way. One at a time for a subscription. Goes on after a restart.",
      tag: TAG,
      params: subscriptionPath,
      body: z.strictObject({
        from: replayPoint,
        to: z
          .union([z.literal("now").transform(() => undefined), replayPoint])
          .optional()
          .openapi({
            type: "string",
            description:
              "The last message or its time; default and at the most the start of the replay (`now`)",
          }),
        rate: z.number().int().min(1, "at least 1").max(1_000_000).optional().openapi({
          description: "Messages a second; as fast as it goes when absent",
        }),
      }),
      example: { from: "2026-01-31T08:00:00Z" },
      responses: { 201: { description: "Started", schema: replaySchema } },
      errors: [
        "subscription_not_found",
        "message_not_found",
        "replay_running",
        "topic_not_archived",
      ],
    },
    async ({ c, params, body }) =>
      c.json(await c.var.engine.replay(c.var.account, params.id, body), 201),
  );

  endpoint(
    api,
    {
      method: "get",
      path: "/v1/subscriptions/{id}/replays",
      operationId: "listReplays",
      summary: "List the replays of a subscription",
      tag: TAG,
      params: subscriptionPath,
      responses: {
        200: {
          description: `The newest ${LISTED}, newest first`,
          schema: z.object({ replays: z.array(replaySchema) }),
        },
      },
      errors: ["subscription_not_found"],
    },
    async ({ c, params }) => {
      const subscription = await findSubscription(c.var.engine, c.var.account, params.id);
      return c.json({ replays: await c.var.engine.replays.list(subscription, LISTED) });
    },
  );
}

function addEndpointsOfOne(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/subscriptions/{id}/replays/{replay}",
      operationId: "getReplay",
      summary: "Look at a replay",
      tag: TAG,
      params: replayPath,
      responses: { 200: { description: "The replay", schema: replaySchema } },
      errors: ["subscription_not_found", "replay_not_found"],
    },
    async ({ c, params }) => {
      const subscription = await findSubscription(c.var.engine, c.var.account, params.id);
      const replay = await c.var.engine.replays.find(subscription, params.replay);
      if (!replay) throw replayNotFound(params.replay);
      return c.json(replay);
    },
  );

  endpoint(
    api,
    {
      method: "delete",
      path: "/v1/subscriptions/{id}/replays/{replay}",
      operationId: "cancelReplay",
      summary: "Cancel a running replay",
      description: "What it has delivered stays in the queue.",
      tag: TAG,
      params: replayPath,
      responses: { 200: { description: "As it is now", schema: replaySchema } },
      errors: ["subscription_not_found", "replay_not_found"],
    },
    async ({ c, params }) => {
      const subscription = await findSubscription(c.var.engine, c.var.account, params.id);
      const replay = await c.var.engine.replays.cancel(subscription, params.replay);
      if (!replay) {
        const ended = await c.var.engine.replays.find(subscription, params.replay);
        throw replayNotFound(params.replay, ended?.status);
      }
      return c.json(replay);
    },
  );
}

async function findSubscription(
  engine: Engine,
  account: string,
  id: string,
): Promise<Pick<Subscription, "id"> & { account: string }> {
  const subscription = await engine.subscriptions.find(account, id);
  if (!subscription) throw subscriptionNotFound(id);
  return { id: subscription.id, account };
}

/** @param status - Of one that is there and cannot be cancelled, since it has ended. */
function replayNotFound(id: string, status?: string): SluiceError {
  return new SluiceError(
    "replay_not_found",
    status === undefined
      ? `this subscription has no replay "${id}"`
      : `the replay "${id}" is ${status} already; only a running one can be cancelled`,
  );
}
