import type { ReceiptHandle, SliceHandle } from "./receipt-handle.ts";

/** Some messages of one received slice. */
export interface SliceMark extends SliceHandle {
  mask: bigint;
}

/** The marks of a call, and for each of its handles the index of its mark. */
export interface MarkedSlices {
  marks: SliceMark[];
  markOf: number[];
}

/** Merges the handles of each slice into one mark: what follows costs per slice, not per message. */
export function markSlices(handles: readonly ReceiptHandle[]): MarkedSlices {
  const marks: SliceMark[] = [];
  const words: { low: number; high: number }[] = [];
  const markOf: number[] = [];
  const indexes = new Map<string, number>();
  let index = -1;
  for (const handle of handles) {
    // Nearly always they come slice by slice.
    if (!isOf(marks[index], handle)) {
      const key = sliceKey(handle);
      index = indexes.get(key) ?? marks.length;
      if (index === marks.length) {
        const { queueId, batchId, lease, visibleAt } = handle;
        marks.push({ queueId, batchId, lease, visibleAt, mask: 0n });
        words.push({ low: 0, high: 0 });
        indexes.set(key, index);
      }
    }
    // As numbers: each step with a bigint makes a new one.
    const word = words[index] as { low: number; high: number };
    if (handle.bit < 32) word.low |= 1 << handle.bit;
    else word.high |= 1 << (handle.bit - 32);
    markOf.push(index);
  }
  for (const [at, mark] of marks.entries()) {
    const { low = 0, high = 0 } = words[at] ?? {};
    mark.mask = (BigInt(high) << 32n) | BigInt(low >>> 0);
  }
  return { marks, markOf };
}

function isOf(mark: SliceMark | undefined, handle: SliceHandle): boolean {
  return (
    mark !== undefined &&
    mark.lease === handle.lease &&
    mark.batchId === handle.batchId &&
    mark.visibleAt === handle.visibleAt
  );
}

/** Tells two slices of receives apart. */
export function sliceKey(slice: SliceHandle): string {
  return `${slice.lease}/${slice.batchId}/${slice.visibleAt}`;
}

/**
 * Everybody who changes slices by marks does so in this order: so two processes do not wait for each other in a circle.
 */
export function inIndexOrder(a: SliceMark, b: SliceMark): number {
  return (
    Number(a.queueId) - Number(b.queueId) ||
    a.visibleAt - b.visibleAt ||
    Number(a.batchId) - Number(b.batchId)
  );
}
