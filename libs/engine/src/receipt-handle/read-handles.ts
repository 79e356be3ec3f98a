import { SluiceError, type EntryError } from "../errors.ts";
import type { ReceiptHandle, ReceiptHandles } from "./receipt-handle.ts";
import type { SliceMark } from "./slice-marks.ts";

/**
 * Reads the handles of a call. One that this installation did not make and one made for another queue are the same to
 * the caller, and the whole call is refused: nothing was changed.
 *
 * @param pathOf - Where in the request the handle at an index stands.
 * @throws {SluiceError} `receipt_handle_invalid`
 */
export function readHandles(
  handles: ReceiptHandles,
  queueId: string,
  tokens: readonly string[],
  pathOf: (index: number) => string,
): ReceiptHandle[] {
  const read: ReceiptHandle[] = [];
  const bad: number[] = [];
  tokens.forEach((token, index) => {
    const handle = handles.read(token);
    if (handle?.queueId === queueId) read.push(handle);
    else bad.push(index);
  });
  if (bad.length > 0) refuse(bad, pathOf);
  return read;
}

/**
 * Some messages of one receipt: what the handles of messages stored and received together start with, and their bits.
 */
export interface MarkedReceipt {
  receipt: string;
  bits: bigint;
}

/** The same for receipts. @throws {SluiceError} `receipt_handle_invalid` */
export function readReceipts(
  handles: ReceiptHandles,
  queueId: string,
  receipts: readonly MarkedReceipt[],
): SliceMark[] {
  const read: SliceMark[] = [];
  const bad: number[] = [];
  receipts.forEach(({ receipt, bits }, index) => {
    const slice = handles.readPrefix(receipt);
    if (slice?.queueId === queueId) read.push({ ...slice, mask: bits });
    else bad.push(index);
  });
  if (bad.length > 0) refuse(bad, (index) => `receipts.${index}.receipt`);
  return read;
}

function refuse(bad: readonly number[], pathOf: (index: number) => string): never {
  throw new SluiceError(
    "receipt_handle_invalid",
    "not a receipt handle of this queue; pass it on exactly as a receive returned it",
    {
      details: bad
        .slice(0, 10)
        .map((index) => ({ path: pathOf(index), message: "was not issued for this queue" })),
    },
  );
}

export function noLongerHeld(): EntryError {
  return {
    code: "receipt_handle_expired",
    message:
      "this receive no longer holds the message: it was acknowledged, or it was received again since",
  };
}
