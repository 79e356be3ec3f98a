import { z } from "@hono/zod-openapi";

import { endpoint, type Api } from "../endpoint.ts";
import { queuePath } from "../fields.ts";
import { doneSchema, doneJson } from "./done.ts";

/** Acknowledge received messages. */
export function addAcknowledgeEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/ack",
      summary: "Acknowledge messages",
      description:
        "They are gone for good. A handle that no longer holds its message is told so, and changes nothing.",
      tag: "Messages",
      params: queuePath,
      body: z.strictObject({
        receiptHandles: z
          .array(z.string().max(1_024))
          .min(1, "at least 1 handle")
          .max(1_000, "at most 1000 handles a call"),
      }),
      responses: { 200: { description: "What became of each handle", schema: doneSchema } },
      errors: ["queue_not_found", "receipt_handle_invalid", "too_many_requests"],
    },
    async ({ c, params, body }) =>
      doneJson(
        await c.var.engine.acknowledger.acknowledge(
          c.var.account,
          params.queue,
          body.receiptHandles,
        ),
      ),
  );
}
