import type { ScanReport } from "./scan-floor.ts";

/** One slice as a receive got it. */
export interface ClaimedSlice {
  batchId: string;
  /** The messages claimed, a bit each. */
  mask: bigint;
  lease: string;
  /**
   * When it becomes visible again, in ms since the epoch by the database clock; what a handle has there, see
   * SliceHandle.
   */
  visibleAt: number;
  sentAt: number;
  /**
   * In ms since the epoch with three decimals: no two slices of a claim are received first at the same time, so that a
   * consumer knows again which delivery of a message it has handled.
   */
  firstReceivedAt: number;
  receiveCount: number;
  /** The group (tenant) of all its messages; "" or undefined for none. */
  groupId?: string | undefined;
  /** Of a dead letter: where it came from and why. */
  deadLetter: { sourceQueueId: string; reason: string } | undefined;
  /**
   * Of a FIFO queue: the group, its place there, and until when this receive holds it, in ms since the epoch; undefined
   * where an earlier receive with its attempt id holds it.
   */
  group?: { id: string; sequence: string; heldUntil: number | undefined } | undefined;
  /** `<topic>/<subscription>` when it is handed out inside a notification. */
  envelope: string | undefined;
  /** Of a replayed message: when it was published; `sentAt` is when it was replayed. */
  publishedAt?: number | undefined;
}

export interface Claim {
  slices: ClaimedSlice[];
  /**
   * Where nothing was claimed: milliseconds until the first message will be visible, or can perhaps go to its
   * dead-letter queue, where that is soon.
   */
  dueIn: number | undefined;
  /** Whether it met slices that belong into the dead-letter queue, and left them where they are. */
  hasDeadLetters?: boolean | undefined;
  /** Whether all slices that it looked at do, and more may follow. */
  onlyDeadLetters?: boolean | undefined;
  /** Whether what it claimed is visible again by now: its timeout was 0, where others are whole seconds. */
  hidesNothing?: boolean | undefined;
  /** Whether it took all that was visible and in no other claim's hands, for longer than anybody looks ahead. */
  tookAll?: boolean | undefined;
  /** Where the scan stood; undefined when it did not look at the front (paused, or at the groups of some tenants). */
  scan?: ScanReport | undefined;
  /** Of a claim for quiet tenants: the group that the next one goes on after. */
  nextAfter?: string | undefined;
}
