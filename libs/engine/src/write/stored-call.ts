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

export function messageIdsOf({ stamp, runs }: StoredCall): string[] {
  return runs.flatMap(({ batchId, firstBit, count }) =>
    Array.from({ length: count }, (_, index) =>
      messageIdOf(stamp, { batchId, bit: firstBit + index }),
    ),
  );
}

/** As an idempotency key remembers it: `stamp batch:bit:count batch:bit:count …`. */
export function encodeStoredCall({ stamp, runs }: StoredCall): string {
  return [
    stamp,
    ...runs.map(({ batchId, firstBit, count }) => `${batchId}:${firstBit}:${count}`),
  ].join(" ");
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
