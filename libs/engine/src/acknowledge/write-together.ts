import { failpoint } from "@sluice/runtime";

import { inIndexOrder, sliceKey, type SliceMark } from "../receipt-handle/slice-marks.ts";

/** The marks of several calls as one statement takes them. */
export interface MergedMarks {
  /** In index order. */
  marks: SliceMark[];
  /** Of the bits done for each of the marks: those of each call, for each of its own. */
  partOf: (done: readonly bigint[]) => bigint[][];
}

/**
 * Several calls may mark one slice (its messages went to several receivers): their marks become one, and each call is
 * told about its own bits.
 */
export function mergeMarks(calls: readonly (readonly SliceMark[])[]): MergedMarks {
  const merged = new Map<string, SliceMark>();
  for (const mark of calls.flat()) {
    const key = sliceKey(mark);
    const known = merged.get(key);
    if (known) known.mask |= mark.mask;
    else merged.set(key, { ...mark });
  }
  const marks = [...merged.values()].sort(inIndexOrder);
  const partOf = (done: readonly bigint[]) => {
    const doneByKey = new Map(marks.map((mark, index) => [sliceKey(mark), done[index] ?? 0n]));
    return calls.map((call) =>
      call.map((mark) => (doneByKey.get(sliceKey(mark)) ?? 0n) & mark.mask),
    );
  };
  return { marks, partOf };
}

/** Writes the marks of several calls by one statement. */
export async function writeTogether(
  calls: readonly (readonly SliceMark[])[],
  write: (marks: readonly SliceMark[]) => Promise<bigint[]>,
): Promise<bigint[][]> {
  const { marks, partOf } = mergeMarks(calls);
  failpoint("acknowledge.before-commit");
  const done = await write(marks);
  failpoint("acknowledge.committed");
  return partOf(done);
}
