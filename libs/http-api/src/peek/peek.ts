import { z } from "@hono/zod-openapi";

import { endpoint, type Api } from "../endpoint.ts";
import { attributes, groupId, queuePath, sequenceNumber, timestamp, token } from "../fields.ts";

const state = z.enum(["visible", "inFlight", "delayed"]);

const peekedMessage = z
  .object({
    messageId: z.uuid(),
    body: z.string(),
    attributes,
    subject: z.string().optional(),
    groupId: groupId.optional(),
    deduplicationId: token.optional(),
    sequenceNumber: sequenceNumber.optional(),
    state,
    receiveCount: z.int(),
    sentAt: timestamp,
    replayed: z.literal(true).optional(),
    visibleAt: timestamp,
    failureReason: z.string().optional(),
  })
  .openapi("PeekedMessage");

/** Look without receiving. */
export function addPeekEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "get",
      path: "/v1/queues/{queue}/peek",
      operationId: "peekMessages",
      summary: "Look at messages without receiving them",
      description:
        "Nothing about them changes. A page ends after about 4 MiB of messages, and a search looks at a part of the queue at a time: so a page " +
        "may be short, even empty, while nextCursor says that there is more to look at.",
      tag: "Messages",
      params: queuePath,
      query: z.strictObject({
        order: z.enum(["oldest", "newest"]).optional().openapi({ default: "oldest" }),
        state: state.optional(),
        search: z.string().min(1).max(256).optional(),
        cursor: z.string().max(512).optional(),
        limit: z
          .string()
          .regex(/^\d{1,3}$/, "a whole number from 1 to 100")
          .transform(Number)
          .pipe(z.number().min(1).max(100))
          .optional()
          .openapi({ type: "integer", minimum: 1, maximum: 100, default: 10 }),
      }),
      responses: {
        200: {
          description: "A page",
          schema: z.object({
            messages: z.array(peekedMessage),
            nextCursor: z.string().optional(),
          }),
        },
      },
      errors: ["queue_not_found", "too_many_requests"],
    },
    async ({ c, params, query }) =>
      c.json(await c.var.engine.peek(c.var.account, params.queue, query)),
  );
}
