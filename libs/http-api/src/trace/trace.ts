import { z } from "@hono/zod-openapi";

import { endpoint, type Api } from "../endpoint.ts";
import { timestamp } from "../fields.ts";

const subscription = z.object({ id: z.uuid(), deleted: z.boolean() }).openapi("TracedSubscription");

const queue = z.string().nullable().openapi({
  description: "Null when it was deleted so long ago that its name is forgotten",
  example: "billing",
});

const deliverySchema = z
  .object({
    queue,
    arrival: z
      .object({
        by: z.enum(["send", "subscription", "replay", "deadLetter", "redrive"]),
        at: timestamp,
        subscription: subscription
          .optional()
          .openapi({ description: "Of `subscription` and `replay`" }),
        from: queue.optional().openapi({
          description: "Of `deadLetter` and `redrive`: the queue that it came from",
        }),
      })
      .optional()
      .openapi({ description: "How and when it came there; absent when that is not on record" }),
    state: z
      .enum([
        "waiting",
        "delayed",
        "inFlight",
        "acknowledged",
        "deadLettered",
        "redriven",
        "expired",
        "purged",
        "cancelled",
        "queueDeleted",
        "unknown",
      ])
      .openapi({
        description:
          "`unknown`: it is not on record that it left the queue, and it was not found there (see `complete` and `recordedSince`)",
      }),
    since: timestamp.optional().openapi({ description: "Absent when that is not known" }),
    to: queue
      .optional()
      .openapi({ description: "Of `deadLettered` and `redriven`: the queue that it went to" }),
    reason: z.string().optional().openapi({ description: "Why it is, or became, a dead letter" }),
    receiveCount: z.int().optional().openapi({ description: "While it is in the queue" }),
    visibleAt: timestamp
      .optional()
      .openapi({ description: "Of `inFlight` and `delayed`: when it is visible (again)" }),
  })
  .openapi("TracedDelivery");

const traceSchema = z
  .object({
    messageId: z.uuid(),
    topic: z.string().optional().openapi({
      description:
        "That it was published to, while that is there and on record; absent for what was sent to a queue",
      example: "orders",
    }),
    sentAt: timestamp,
    state: z
      .enum(["published", "distributed"])
      .openapi({ description: "`published`: stored, and waits for its fan-out" }),
    deliveries: z.array(deliverySchema).openapi({
      description:
        "One for each queue that the message came to, in the order of its arrivals; a dead letter and what was redriven are deliveries of their own",
    }),
    refusals: z
      .array(z.object({ subscription, at: timestamp }))
      .openapi({ description: "Subscriptions whose filter policy did not accept it" }),
    recordedSince: timestamp.nullable().openapi({
      description:
        "Since when everything is on record; null when nothing is: then only what is stored now is told",
    }),
    complete: z.boolean().openapi({
      description: "False when looking through a backlog for it took too long, and was given up",
    }),
  })
  .openapi("Trace");

/** Tell what became of a message. */
export function addTraceEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/messages/{id}/trace",
      operationId: "traceMessage",
      summary: "Tell what became of a message",
      description:
        "Which subscriptions and queues it came to, and what became of it in each: from the record, which goes back TRACE_HOURS, " +
        "and from where it rests now. Nothing about it changes.",
      tag: "Messages",
      params: z.object({ id: z.uuid("a message id is a UUID") }),
      responses: { 200: { description: "As far as the record goes", schema: traceSchema } },
      errors: ["message_not_found", "too_many_requests"],
    },
    async ({ c, params }) => c.json(await c.var.engine.trace(c.var.account, params.id)),
  );
}
