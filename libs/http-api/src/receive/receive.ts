import { z } from "@hono/zod-openapi";
import { bitCharacter, type Received, type ReceivedSlice } from "@sluice/engine";
import type { Context } from "hono";

import { endpoint, type Api } from "../endpoint.ts";
import type { ApiEnv } from "../environment.ts";
import { attributes, groupId, queuePath, seconds, timestamp } from "../fields.ts";

const receivedMessage = z
  .object({
    receiptHandle: z
      .string()
      .openapi({ description: "Opaque; acknowledges or changes the visibility of this receive" }),
    receiveCount: z.int().min(1),
    sentAt: timestamp,
    firstReceivedAt: timestamp,
    messageId: z.uuid(),
    body: z.string(),
    attributes,
    subject: z.string().optional(),
    groupId: groupId.optional(),
  })
  .openapi("ReceivedMessage");

/** Receive from a queue, waiting for a message if asked to. */
export function addReceiveEndpoint(api: Api): void {
  endpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/receive",
      summary: "Receive messages",
      description:
        "Hides what it hands out for the visibility timeout; acknowledge within it, or the messages are seen again. " +
        "With `wait` it answers as soon as there is a message, or with none when the wait is over. " +
        "It may answer fewer than maxMessages although more are visible.",
      tag: "Messages",
      params: queuePath,
      body: z.strictObject({
        maxMessages: z
          .number()
          .int()
          .min(1, "at least 1")
          .max(1_000, "at most 1000")
          .optional()
          .openapi({ default: 1 }),
        wait: seconds(0, 20).optional(),
        visibilityTimeout: seconds(0, 43_200).optional(),
      }),
      responses: {
        200: {
          description: "Messages, oldest first",
          schema: z.object({ messages: z.array(receivedMessage) }),
        },
      },
      errors: ["queue_not_found"],
    },
    async ({ c, params, body }) => {
      const signal = goneSignal(c);
      const received = await c.var.engine.receiver.receive(c.var.account, params.queue, {
        ...body,
        signal,
      });
      if (received.messages > 0) releaseUnlessRead(c, received, signal);
      return new Response(messagesJson(received.slices), {
        headers: { "content-type": "application/json" },
      });
    },
  );
}

/** Aborted when the client hangs up before the whole answer was handed to the network, or when its key is disabled. */
export function goneSignal(c: Context<ApiEnv>): AbortSignal {
  const outgoing = c.env?.outgoing;
  if (!outgoing) return c.req.raw.signal;
  const { socket } = outgoing;
  const gone = new AbortController();
  let written = false;
  outgoing.once("finish", () => {
    // Node says so also of an answer that was still in its buffers when the connection broke.
    written = socket !== null && !socket.destroyed && socket.errored === null;
  });
  const endWatch = c.var.watchKey?.(() => {
    gone.abort();
  });
  outgoing.once("close", () => {
    endWatch?.();
    if (!written) gone.abort();
  });
  return gone.signal;
}

/** A client that goes away before the answer is written gets nothing: the messages are visible again at once. */
export function releaseUnlessRead(
  c: Context<ApiEnv>,
  received: Pick<Received, "release">,
  signal: AbortSignal,
): void {
  const release = () => {
    received.release().catch((error: unknown) => {
      c.var.report(error);
    });
  };
  if (signal.aborted) release();
  else signal.addEventListener("abort", release, { once: true });
}

/**
 * The response, spliced around the stored lines: no body is parsed or serialised again. What the messages of a slice
 * share is written once.
 */
export function messagesJson(slices: readonly ReceivedSlice[]): string {
  let json = '{"messages":[';
  let separator = "";
  for (const slice of slices) {
    const shared =
      `","receiveCount":${slice.receiveCount},"sentAt":"${new Date(slice.sentAt).toISOString()}",` +
      `"firstReceivedAt":"${new Date(slice.firstReceivedAt).toISOString()}",`;
    slice.lines.forEach((line, index) => {
      json += `${separator}{"receiptHandle":"${slice.handlePrefix}${bitCharacter(slice.bits[index] ?? 0)}${shared}${line}}`;
      separator = ",";
    });
  }
  return `${json}]}`;
}
