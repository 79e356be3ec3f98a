import { z } from "@hono/zod-openapi";
import {
  bitCharacter,
  type GoneSignal,
  type Received,
  type ReceivedSlice,
  type ReceiveOptions,
} from "@sluice/engine";

import { acknowledge, receivedNames } from "../acknowledge/acknowledge.ts";
import { resultsSchema } from "../acknowledge/done.ts";
import { hotEndpoint, type Api } from "../endpoint.ts";
import type { Call } from "../environment.ts";
import {
  attributes,
  bitSet,
  groupId,
  queuePath,
  seconds,
  sequenceNumber,
  timestamp,
  token,
} from "../fields.ts";
import { countUntilWritten, roomFor } from "./answers-under-way.ts";
import { Gone, goneSignal, releaseUnlessRead } from "./gone.ts";

/** Most messages that a call hands out. */
export const MAX_MESSAGES = 1_000;

const storedMessage = z.object({
  messageId: z.uuid(),
  body: z.string(),
  attributes,
  subject: z.string().optional(),
  groupId: groupId.optional(),
  deduplicationId: token.optional(),
});

const replayedMark = z.literal(true).optional().openapi({
  description: "It came out of the archive of its topic; `sentAt` is when it was published",
});

const outcomes = resultsSchema.optional();

const failureReason = z
  .string()
  .optional()
  .openapi({ description: "Of a dead letter: why it is one" });

const receivedMessage = z
  .object({
    receiptHandle: z
      .string()
      .openapi({ description: "Opaque; acknowledges or changes the visibility of this receive" }),
    receiveCount: z.int().min(1),
    sentAt: timestamp,
    firstReceivedAt: timestamp,
    failureReason,
    replayed: replayedMark,
    ...storedMessage.shape,
    sequenceNumber: sequenceNumber.optional(),
  })
  .openapi("ReceivedMessage");

const receivedReceipt = z
  .object({
    receipt: z.string().openapi({
      description: "What the receipt handles of these messages begin with; see `bits`",
    }),
    bits: bitSet.openapi({
      description:
        "Which messages of those stored together these are: bit 0 the first, as hexadecimal digits. The handle of a " +
        "message is the receipt with one character for its bit: A-Z a-z 0-9 - stand for 0 to 62",
    }),
    receiveCount: z.int().min(1),
    sentAt: timestamp,
    firstReceivedAt: timestamp.openapi({
      example: "2026-11-23T09:30:00.000123Z",
      description: "In microseconds: a message that is in the queue twice has two of them",
    }),
    failureReason,
    replayed: replayedMark,
    firstSequenceNumber: sequenceNumber.optional().openapi({
      description:
        "FIFO queues: the sequence number of the message at bit 0, be it here or not; each of the others has its bit more",
    }),
    messages: z.array(storedMessage).openapi({ description: "In order of their bits" }),
  })
  .openapi("Receipt");

/** What is asked of one queue. */
export const receiveFields = {
  maxMessages: z
    .number()
    .int()
    .min(1, "at least 1")
    .max(MAX_MESSAGES, "at most 1000")
    .optional()
    .openapi({ default: 1 }),
  visibilityTimeout: seconds(0, 43_200)
    .optional()
    .openapi({ description: "For how many seconds it hides messages; default: the queue's" }),
  receiveAttemptId: token.optional().openapi({
    description:
      "FIFO queues: repeated with the same id within 5 minutes, a receive whose answer was lost gets the same messages",
  }),
  acknowledge: receivedNames.optional().openapi({
    description: "Messages that were received before and are to be acknowledged",
  }),
};

/** How a call is answered. */
export const answerFields = {
  wait: seconds(0, 20).optional().openapi({
    description: "Seconds it may wait for a message; default: the queue's `receiveWait`",
  }),
  receipts: z.boolean().optional().openapi({
    default: false,
    description: "Answer `receipts`, which group messages that were stored and received together",
  }),
};

export const receiveAnswer = z.union([
  z.object({ messages: z.array(receivedMessage), acknowledged: outcomes }),
  z.object({
    receipts: z.array(receivedReceipt),
    waitedMs: z
      .int()
      .min(0)
      .optional()
      .openapi({
        description:
          "With messages: for how long the receive had waited when it began to take them, in milliseconds. Their visibility timeout begins no sooner than " +
          "that after the call was sent: until when a client may count on them, by its own clock, however late the answer comes",
      }),
    acknowledged: outcomes,
  }),
]);

/** Receive from a queue, waiting for a message if asked to. */
export function addReceiveEndpoint(api: Api): void {
  hotEndpoint(
    api,
    {
      method: "post",
      path: "/v1/queues/{queue}/receive",
      operationId: "receiveMessages",
      summary: "Receive messages",
      description:
        "Hides what it hands out for the visibility timeout; acknowledge within it, or the messages are seen again. " +
        "With `wait` it answers as soon as there is a message, or with none when the wait is over. " +
        "It may answer fewer than maxMessages although more are visible, and hands out about 16 MiB at most. A FIFO queue hands out the messages of a group in order, " +
        "and none while another one of the group is in flight. With `receipts` what messages have in common is " +
        "written once: fewer bytes, for clients that receive many at a time. What the client has received before can be acknowledged with the " +
        "same call, as `ack` does it: it is done at once, and told of with the answer, however long that waits.",
      tag: "Messages",
      params: queuePath,
      body: z.strictObject({ ...receiveFields, ...answerFields }),
      example: { maxMessages: 10, wait: 5 },
      responses: {
        200: {
          description:
            "Messages, oldest first, those of a FIFO group in order; in `messages`, or by receipt if asked to",
          schema: receiveAnswer,
        },
      },
      errors: ["queue_not_found", "over_limit", "receipt_handle_invalid", "too_many_requests"],
    },
    async ({ c, params: { queue }, body }) => {
      const answer = await receive(c, { ...body, queue }, { ...body, gone: goneSignal(c) });
      countUntilWritten(c, answer);
      return answer;
    },
  );
}

export type ReceiveFields = z.output<z.ZodObject<typeof receiveFields>>;

export interface ReceiveCall {
  /** Most characters to hand out, see ReceiveOptions. */
  length?: number | undefined;
  wait?: number | undefined;
  receipts?: boolean | undefined;
  /** Aborted when the client goes away. */
  gone: GoneSignal;
  /** Aborted when there is no more time to wait. */
  enough?: GoneSignal | undefined;
  /** Resolves when its acknowledgements are waited for no longer: the answer then says nothing of them. */
  impatience?: Promise<undefined> | undefined;
}

/** One receive, and its answer as JSON. */
export async function receive(
  c: Call,
  one: ReceiveFields & { queue: string },
  { length, wait, receipts = false, gone, enough, impatience }: ReceiveCall,
): Promise<Buffer | string> {
  const { engine, account } = c.var;
  const { queue, maxMessages, visibilityTimeout, receiveAttemptId: attemptId } = one;
  const options = {
    maxMessages,
    length: () => roomFor(length),
    visibilityTimeout,
    attemptId,
    wait,
    enough,
  };
  const claim = (more: ReceiveOptions) =>
    engine.receiver.receive(account, queue, { ...options, ...more });
  const { received, acknowledged } =
    one.acknowledge === undefined
      ? { received: await claim({ signal: gone }), acknowledged: undefined }
      : await acknowledgeAndReceive(
          acknowledge(engine, { account, queue, names: one.acknowledge }),
          { claim, gone, impatience },
        );
  if (received.messages > 0) releaseUnlessRead(received, gone);
  const { slices, waitedMs } = received;
  return receipts
    ? receiptsJson(slices, acknowledged, waitedMs)
    : messagesJson(slices, acknowledged);
}

/**
 * Both at once. When the acknowledgement fails, nobody learns what was received: the receive is given up, and what it
 * got with it.
 */
async function acknowledgeAndReceive(
  acknowledging: Promise<string[]>,
  {
    claim,
    gone,
    impatience,
  }: Pick<ReceiveCall, "gone" | "impatience"> & {
    claim: (options: ReceiveOptions) => Promise<Received>;
  },
): Promise<{ received: Received; acknowledged: string[] | undefined }> {
  const stop = new Gone();
  const giveUp = () => {
    stop.abort();
  };
  if (gone.aborted) giveUp();
  else gone.addEventListener("abort", giveUp, { once: true });
  const told = impatience ? Promise.race([acknowledging, impatience]) : acknowledging;
  const [acknowledged, received] = await Promise.allSettled([
    told.catch((error: unknown) => {
      giveUp();
      throw error;
    }),
    claim({ signal: stop, after: told }),
  ]);
  if (acknowledged.status === "rejected") {
    if (received.status === "fulfilled") await received.value.release();
    throw acknowledged.reason;
  }
  if (received.status === "rejected") throw received.reason;
  return { received: received.value, acknowledged: acknowledged.value };
}

/**
 * The response by receipts: each slice is written once, around the bytes of its whole batch where they are at hand, so
 * that it costs per slice, not per message. Measured with 1,008 messages of 256 bytes out of batches of 63: a third of
 * the time of {@link messagesJson} (1.3 ms and 4.1 ms), two thirds of its bytes, and half of the time to parse them.
 */
export function receiptsJson(
  slices: readonly ReceivedSlice[],
  acknowledged?: readonly string[],
  waitedMs = 0,
): Buffer | string {
  const end = `${acknowledgedJson(acknowledged)}}`;
  // A string goes out with its headers in one piece; most answers of queues that are waited for are this one.
  if (slices.length === 0) return `{"receipts":[]${end}`;
  const parts: Buffer[] = [];
  let separator = '{"receipts":[';
  for (const slice of slices) {
    const head =
      `${separator}{"receipt":"${slice.handlePrefix}","bits":"${hexOf(slice.bits)}","receiveCount":${slice.receiveCount},` +
      `"sentAt":"${new Date(slice.sentAt).toISOString()}",` +
      `"firstReceivedAt":"${toMicroseconds(slice.firstReceivedAt)}",${marksOf(slice)}` +
      (slice.firstSequenceNumber === undefined
        ? ""
        : `"firstSequenceNumber":"${slice.firstSequenceNumber}",`) +
      `"messages":[`;
    parts.push(Buffer.from(head), slice.json ?? Buffer.from(`{${slice.lines.join("},{")}}`));
    separator = "]},";
  }
  parts.push(Buffer.from(`]}],"waitedMs":${waitedMs}${end}`));
  return Buffer.concat(parts);
}

/**
 * The response, spliced around the stored lines: no body is parsed or serialised again. What the messages of a slice
 * share is written once.
 */
export function messagesJson(
  slices: readonly ReceivedSlice[],
  acknowledged?: readonly string[],
): string {
  let json = '{"messages":[';
  let separator = "";
  for (const slice of slices) {
    const shared =
      `","receiveCount":${slice.receiveCount},"sentAt":"${new Date(slice.sentAt).toISOString()}",` +
      `"firstReceivedAt":"${new Date(slice.firstReceivedAt).toISOString()}",${marksOf(slice)}`;
    slice.lines.forEach((line, index) => {
      const number = slice.sequenceNumbers?.[index];
      const own = number === undefined ? line : `"sequenceNumber":"${number}",${line}`;
      json += `${separator}{"receiptHandle":"${slice.handlePrefix}${bitCharacter(slice.bits[index] ?? 0)}${shared}${own}}`;
      separator = ",";
    });
  }
  return `${json}]${acknowledgedJson(acknowledged)}}`;
}

function acknowledgedJson(entries: readonly string[] | undefined): string {
  return entries === undefined ? "" : `,"acknowledged":[${entries.join(",")}]`;
}

/** @param time - In ms since the epoch, with three decimals. */
function toMicroseconds(time: number): string {
  const micros = Math.round((time % 1) * 1_000);
  return `${new Date(time).toISOString().slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}

/** What few messages have. */
function marksOf({ deadLetter, replayed }: ReceivedSlice): string {
  const marks = deadLetter ? `"failureReason":${JSON.stringify(deadLetter.reason)},` : "";
  return replayed ? `${marks}"replayed":true,` : marks;
}

/** A set of bits (0-62) as hexadecimal digits. */
function hexOf(bits: readonly number[]): string {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  return high === 0
    ? (low >>> 0).toString(16)
    : high.toString(16) + (low >>> 0).toString(16).padStart(8, "0");
}
