import { z } from "@hono/zod-openapi";
import { messageBytes, SluiceError, type MessageInput } from "@sluice/engine";

import { hotEndpoint, type Api } from "../endpoint.ts";
import { entryErrorSchema } from "../errors.ts";
import { attributes, groupId, queuePath, sequenceNumber, token, topicPath } from "../fields.ts";
import { MAX_DELAY } from "../queues/queues.ts";

const MAX_MESSAGES = 1_000;
const MAX_BYTES = 4 * 1024 * 1024;

const message = {
  body: z.string(),
  attributes: attributes.optional(),
  groupId: groupId.optional(),
  deduplicationId: token.optional().openapi({
    description: "FIFO topics and queues: the same id again within 5 minutes stores nothing again",
  }),
};

export const publishedMessage = z
  .strictObject({
    ...message,
    subject: z
      .string()
      .min(1)
      .max(99)
      .refine(
        (text) => !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufffe\uffff]/u.test(text),
        "no line breaks or control characters in a subject",
      )
      .optional()
      .openapi({ example: "Order created" }),
  })
  .openapi("PublishedMessage");

const sentMessage = z
  .strictObject({
    ...message,
    delay: z
      .number()
      .min(0, "at least 0 seconds")
      .max(MAX_DELAY, `at most ${MAX_DELAY} seconds`)
      .optional()
      .openapi({
        description:
          "Seconds until it can be received; default: the queue's. One as long as the retention of the queue, or longer, counts as sent at the end of the delay",
      }),
  })
  .openapi("SentMessage");

const messagesOf = <Message extends z.ZodType>(schema: Message) =>
  z.strictObject({
    messages: z
      .array(schema)
      .min(1, "at least 1 message")
      .max(MAX_MESSAGES, `at most ${MAX_MESSAGES} messages a call`),
  });

const resultsSchema = z.object({
  results: z
    .array(
      z.union([
        z.object({ messageId: z.uuid(), sequenceNumber: sequenceNumber.optional() }),
        z.object({ error: entryErrorSchema }),
      ]),
    )
    .openapi({ description: "One for each message, in order" }),
});

const idempotencyHeader = z.object({
  "Idempotency-Key": z.string().optional().openapi({
    description:
      "1 to 128 printable ASCII characters. A repeat within 5 minutes stores nothing again and answers the same ids.",
  }),
});

/** Publish to a topic, send to a queue. */
export function addWriteEndpoints(api: Api): void {
  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/topics/{topic}/messages",
      operationId: "publishMessages",
      summary: "Publish messages to a topic",
      description:
        "Answered after the messages are committed. A message that breaks a rule is refused alone. A FIFO topic asks for a " +
        "groupId, and for a deduplicationId unless it has contentBasedDeduplication; a duplicate is answered with the id of the first.",
      tag: "Messages",
      params: topicPath,
      headers: idempotencyHeader,
      body: messagesOf(publishedMessage),
      example: {
        messages: [{ body: "order 1", attributes: { tenant: { type: "String", value: "acme" } } }],
      },
      responses: { 200: { description: "What became of each message", schema: resultsSchema } },
      errors: ["topic_not_found", "idempotency_key_reused", "too_many_requests"],
    },
    async ({ c, params, body: { messages } }) => {
      checkBytes(messages);
      const idempotencyKey = readIdempotencyKey(c.req.header("idempotency-key"));
      return JSON.stringify({
        results: await c.var.engine.publisher.publish(c.var.account, params.topic, messages, {
          idempotencyKey,
        }),
      });
    },
  );

  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/messages",
      operationId: "sendMessages",
      summary: "Send messages to a queue",
      description:
        "Answered after the messages are committed. A message that breaks a rule is refused alone. A FIFO queue asks for a " +
        "groupId, and for a deduplicationId unless it has contentBasedDeduplication; a duplicate is answered with the id of the first.",
      tag: "Messages",
      params: queuePath,
      headers: idempotencyHeader,
      body: messagesOf(sentMessage),
      example: { messages: [{ body: "order 1" }] },
      responses: { 200: { description: "What became of each message", schema: resultsSchema } },
      errors: ["queue_not_found", "idempotency_key_reused", "too_many_requests"],
    },
    async ({ c, params, body: { messages } }) => {
      checkBytes(messages);
      const idempotencyKey = readIdempotencyKey(c.req.header("idempotency-key"));
      return JSON.stringify({
        results: await c.var.engine.sender.send(c.var.account, params.queue, messages, {
          idempotencyKey,
        }),
      });
    },
  );
}

function checkBytes(messages: readonly MessageInput[]): void {
  const bytes = messages.reduce((sum, one) => sum + messageBytes(one), 0);
  if (bytes > MAX_BYTES) {
    throw new SluiceError(
      "request_too_large",
      `the messages are ${bytes} bytes together; a call takes up to ${MAX_BYTES}`,
    );
  }
}

function readIdempotencyKey(key: string | undefined): string | undefined {
  if (key !== undefined && !/^[\x20-\x7e]{1,128}$/.test(key)) {
    throw new SluiceError(
      "invalid_request",
      "Idempotency-Key: 1 to 128 printable ASCII characters",
      {
        details: [{ path: "Idempotency-Key", message: "1 to 128 printable ASCII characters" }],
      },
    );
  }
  return key;
}
