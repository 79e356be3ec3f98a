import { messageIdOf, type CallStamp } from "../message/message-ids.ts";

/** Messages of a call that stand next to each other in one batch. */
export interface Run {
  batchId: string;
  firstBit: number;
  count: number;
}

/** Where the messages of a call are stored, in order: enough to tell their ids again. */
export interface StoredCall {
  stamp: CallStamp;
  runs: Run[];
}

/** A message as the answer to a call names it. */
export interface StoredMessage {
  messageId: string;
  /** In FIFO topics and queues: its place in the order of its group, 20 digits. */
  sequenceNumber?: string;
}

export function messagesOf({ stamp, runs }: StoredCall): StoredMessage[] {
  return runs.flatMap(({ batchId, firstBit, count }) =>
    Array.from({ length: count }, (_, index) => ({
      messageId: messageIdOf(stamp, { batchId, bit: firstBit + index }),
    })),
  );
}

/** As an idempotency key remembers it: `stamp batch:bit:count batch:bit:count …`. */
export function encodeStoredCall({ stamp, runs }: StoredCall): string {
  return [
    stamp,
    ...runs.map(({ batchId, firstBit, count }) => `${batchId}:${firstBit}:${count}`),
  ].join(" ");
}

const FIFO = "fifo ";

/**
 * What an idempotency key remembers, as the answer to its repeat. Of a FIFO topic or queue that is the answer itself,
 * `fifo id/number id/number …`: a duplicate has the id of another message.
 */
export function answerOf(storedCall: string): StoredMessage[] {
  if (!storedCall.startsWith(FIFO)) return messagesOf(decodeStoredCall(storedCall));
  return storedCall
    .slice(FIFO.length)
    .split(" ")
    .map((message) => {
      const [messageId = "", sequenceNumber = ""] = message.split("/");
      return { messageId, sequenceNumber };
    });
}

export function decodeStoredCall(text: string): StoredCall {
  const [stamp = "", ...runs] = text.split(" ");
  return {
    stamp,
    runs: runs.map((run) => {
      const [batchId = "", firstBit, count] = run.split(":");
      return { batchId, firstBit: Number(firstBit), count: Number(count) };
    }),
  };
}
