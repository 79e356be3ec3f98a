import type { Envelopes } from "../envelope/envelopes.ts";
import { bitsOf } from "../message/bits.ts";
import { sequenceNumberOf } from "../message-group/sequence-number.ts";
import type { Queue } from "../queues/queue-rows.ts";
import type { ReceiptHandles } from "../receipt-handle/receipt-handle.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import type { Payloads } from "./payloads.ts";

/** Received messages of one slice: what they share is here once. */
export interface ReceivedSlice {
  /** Serialised messages (see serializeMessage); the handle of `lines[i]` is `handlePrefix + bitCharacter(bits[i])`. */
  lines: string[];
  bits: number[];
  /**
   * All lines of their batch, `batch[bits[i]]` being `lines[i]`: the same array for every queue. Undefined inside
   * notifications.
   */
  batch: readonly string[] | undefined;
  /**
   * The same messages as JSON objects with commas between them, where it is at hand: for the messages of a whole batch.
   */
  json: Buffer | undefined;
  handlePrefix: string;
  receiveCount: number;
  /** Milliseconds since the epoch. */
  sentAt: number;
  /** With three decimals; see {@link ClaimedSlice}. */
  firstReceivedAt: number;
  /** Whether it came out of the archive of its topic; `sentAt` is then when it was published. */
  replayed: boolean;
  /** Of dead letters: where they came from and why. */
  deadLetter: { sourceQueueId: string; reason: string } | undefined;
  /** Of a FIFO queue: the group of all of them, the number that bit 0 has, and one number for each line. */
  groupId?: string | undefined;
  firstSequenceNumber?: string | undefined;
  sequenceNumbers?: string[] | undefined;
}

/** Where the parts of a received slice come from. */
export interface SliceSources {
  payloads: Payloads;
  envelopes: Envelopes;
  handles: ReceiptHandles;
}

/** What is handed out of claimed slices: the messages that are still there, as the subscription of each wants them. */
export async function receivedSlices(
  { payloads, envelopes, handles }: SliceSources,
  { id: queueId, account }: Queue,
  claimed: readonly ClaimedSlice[],
  lines: ReadonlyMap<string, readonly string[]>,
): Promise<ReceivedSlice[]> {
  const received = claimed.flatMap((slice) => {
    const stored = lines.get(slice.batchId);
    // Expired, or acknowledged by another holder, and cleaned up between the claim and this moment.
    const bits = bitsOf(slice.mask).filter((bit) => stored?.[bit]);
    if (!stored || bits.length === 0) return [];
    const { group } = slice;
    return [
      {
        lines: bits.map((bit) => stored[bit] ?? ""),
        envelope: slice.envelope,
        bits,
        batch: slice.envelope === undefined ? stored : undefined,
        // Inside notifications the bytes are others.
        json:
          slice.envelope === undefined && bits.length === stored.length
            ? payloads.jsonOf(stored)
            : undefined,
        handlePrefix: handles.prefix({ queueId, ...slice }),
        receiveCount: slice.receiveCount,
        sentAt: slice.publishedAt ?? slice.sentAt,
        replayed: slice.publishedAt !== undefined,
        firstReceivedAt: slice.firstReceivedAt,
        deadLetter: slice.deadLetter,
        ...(group && {
          groupId: group.id,
          firstSequenceNumber: sequenceNumberOf(group.sequence, 0),
          sequenceNumbers: bits.map((bit) => sequenceNumberOf(group.sequence, bit)),
        }),
      },
    ];
  });
  await Promise.all(
    received.map(async (slice) => {
      const { envelope, sentAt, replayed } = slice;
      if (envelope === undefined) return;
      slice.lines = await Promise.all(
        slice.lines.map((line, index) =>
          envelopes.wrap(line, slice.bits[index] ?? 0, {
            account,
            envelope,
            sentAt,
            replayed,
          }),
        ),
      );
    }),
  );
  return received;
}
