import { LRUCache } from "lru-cache";

import { bitCount, bitsOf } from "../message/bits.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import type { FoundPayloads } from "./payloads.ts";

/**
 * How much a receive hands out, in characters of stored lines, before it leaves the rest to the next one; a batch more
 * at most. A thousand messages of a megabyte fit into no answer, and into few clients.
 */
export const MAX_ANSWER = 16 * 1024 * 1024;
/** So few messages, or slices of no more than 256 KiB or one message, are never too much. */
const FEW = 16;
const MAX_QUEUES = 10_000;

/** Keeps receives from claiming more than they hand out: by how large the messages of a queue were lately. */
export class AnswerSizes {
  /** Characters a message, by queue; only of those where it matters. */
  readonly #averages = new LRUCache<string, number>({ max: MAX_QUEUES });

  /** How many of the messages that are asked for to claim. */
  mostOf(queueId: string, asked: number, length: number): number {
    const average = this.#averages.get(queueId);
    if (average === undefined || asked <= FEW) return asked;
    return Math.min(asked, Math.max(FEW, Math.ceil(length / average)));
  }

  /** How many of the slices, from the first on, are handed out: one at least. */
  fitting(
    queueId: string,
    claimed: readonly ClaimedSlice[],
    { lines, left }: FoundPayloads,
    length: number,
  ): number {
    const isFew = claimed.length * MAX_ANSWER <= FEW * length && left.size === 0;
    if (isFew && !this.#averages.has(queueId)) return claimed.length;
    let messages = 0;
    let sum = 0;
    const end = claimed.findIndex(({ batchId, mask }, index) => {
      if (index > 0 && (sum >= length || left.has(batchId))) return true;
      messages += bitCount(mask);
      sum += lengthOf(lines.get(batchId), mask);
      return false;
    });
    const isMuch = end >= 0 || sum * 2 > length;
    if (isMuch && messages > 0) this.#averages.set(queueId, sum / messages);
    else this.#averages.delete(queueId);
    return end < 0 ? claimed.length : end;
  }
}

function lengthOf(lines: readonly string[] | undefined, mask: bigint): number {
  if (!lines) return 0;
  if (bitCount(mask) === lines.length) return lines.reduce((sum, line) => sum + line.length, 0);
  return bitsOf(mask).reduce((sum, bit) => sum + (lines[bit]?.length ?? 0), 0);
}
