import { z } from "@hono/zod-openapi";

import { doneEntries, doneJson, doneSchema } from "../acknowledge/done.ts";
import { hotEndpoint, type Api } from "../endpoint.ts";
import { queuePath, seconds } from "../fields.ts";

/** Change how long received messages stay hidden. */
export function addVisibilityEndpoint(api: Api): void {
  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/visibility",
      operationId: "changeVisibility",
      summary: "Change the visibility of received messages",
      description:
        "Hides them for so many seconds from now: more while work goes on, 0 to give them back at once. " +
        "Nothing stays hidden for more than 12 hours from its receive. " +
        "A reason is kept with the message, and shown by peek and with a dead letter. " +
        "What was fetched ahead and nobody has looked at is given back with `received: false`: its receive does not count, so it is no nearer to the dead-letter queue.",
      tag: "Messages",
      params: queuePath,
      body: z.strictObject({
        entries: z
          .array(
            z
              .strictObject({
                receiptHandle: z.string().max(1_024),
                visibilityTimeout: seconds(0, 43_200),
                reason: z
                  .string()
                  .min(1)
                  .max(1_024)
                  .refine(
                    (text) => !/[\p{Cc}\p{Cs}]/u.test(text),
                    "no line breaks or control characters in a reason",
                  )
                  .optional()
                  .openapi({ example: "the bank did not answer" }),
                received: z.boolean().optional().openapi({
                  default: true,
                  description:
                    "False, with a visibilityTimeout of 0 only: this receive does not count. `receiveCount` is one less again, and `firstReceivedAt` is forgotten where there was no other. Also when the time of the receive is over, as long as nobody has received the message since; the handle is void afterwards",
                }),
              })
              .refine(
                ({ received, visibilityTimeout }) => received !== false || visibilityTimeout === 0,
                {
                  path: ["received"],
                  message: "false goes with a visibilityTimeout of 0 only",
                },
              ),
          )
          .min(1, "at least 1 entry")
          .max(1_000, "at most 1000 entries a call"),
      }),
      example: {
        entries: [
          { receiptHandle: "<receiptHandle of a received message>", visibilityTimeout: 120 },
        ],
      },
      responses: { 200: { description: "What became of each entry", schema: doneSchema } },
      errors: ["queue_not_found", "receipt_handle_invalid", "too_many_requests"],
    },
    async ({ c, params, body }) =>
      doneJson(
        doneEntries(
          await c.var.engine.visibility.change(c.var.account, params.queue, body.entries),
        ),
      ),
  );
}
