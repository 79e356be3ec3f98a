import type { ClaimedSlice } from "./claimed-slice.ts";

/** A receive that waits for messages of one queue. */
export interface Waiter {
  max: number;
  /** As much as the repeat of an attempt may get. */
  asked: number;
  /** Of a FIFO queue: it is claimed for alone, under this id. */
  attemptId?: string | undefined;
  visibilityTimeout: number | undefined;
  /**
   * Called once: with what it got, with nothing when its wait is over, or with an error. What it got is held from a
   * moment on that is not before `began`, by the clock of this process in ms.
   */
  settle: (result: ClaimedSlice[] | Error, began?: number) => void;
  /** Whether an empty claim leaves it waiting for the next signal. */
  parked: boolean;
}

/** Whether others may be claimed for together with it. */
export function isNoAttempt({ attemptId }: Waiter): boolean {
  return attemptId === undefined;
}
