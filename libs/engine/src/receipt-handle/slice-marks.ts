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
  let index = -1;
  for (const handle of handles) {
    // Nearly always they come slice by slice.
    if (!isOf(marks[index], handle)) {
      const key = sliceKey(handle);
      index = indexes.get(key) ?? marks.length;
      if (index === marks.length) {
        const { queueId, batchId, lease, visibleAt } = handle;
        marks.push({ queueId, batchId, lease, visibleAt, mask: 0n });
        indexes.set(key, index);
      }
    }
    (marks[index] as SliceMark).mask |= 1n << BigInt(handle.bit);
    markOf.push(index);
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
