import { z } from "@hono/zod-openapi";

import { endpoint, type Api } from "../endpoint.ts";
import { queuePath } from "../fields.ts";

/** Empty a queue; take back one delayed message. */
export function addPurgeEndpoints(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/purge",
      operationId: "purgeQueue",
      summary: "Delete all messages of a queue",
      description:
        "In flight or not. What is sent after the answer survives; there is no way back.",
      tag: "Queues",
      params: queuePath,
      responses: {
        200: { description: "How many were deleted", schema: z.object({ purged: z.int() }) },
      },
      errors: ["queue_not_found", "purge_in_progress"],
    },
    async ({ c, params }) =>
      c.json({ purged: await c.var.engine.purge(c.var.account, params.queue) }),
  );

  endpoint(
    api,
    {
      method: "delete",
      path: "/v1/queues/{queue}/messages/{messageId}",
      operationId: "cancelMessage",
      summary: "Cancel a delayed message",
      tag: "Messages",
      params: queuePath.extend({ messageId: z.uuid() }),
      responses: { 204: { description: "It will never be received" } },
      errors: ["queue_not_found", "message_not_found"],
    },
    async ({ c, params }) => {
      await c.var.engine.cancelDelayed(c.var.account, params.queue, params.messageId);
      return c.body(null, 204);
    },
  );
}
