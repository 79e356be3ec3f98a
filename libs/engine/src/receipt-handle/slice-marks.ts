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
  const markOf: number[] = [];
  const indexes = new Map<string, number>();
  for (const { bit, ...slice } of handles) {
    const key = sliceKey(slice);
    let index = indexes.get(key);
    if (index === undefined) {
      index = marks.push({ ...slice, mask: 0n }) - 1;
      indexes.set(key, index);
    }
    (marks[index] as SliceMark).mask |= 1n << BigInt(bit);
    markOf.push(index);
  }
  return { marks, markOf };
}

/** Tells two slices of receives apart. */
export function sliceKey(slice: SliceHandle): string {
  return `${slice.lease}/${slice.batchId}/${slice.visibleAt}`;
}
