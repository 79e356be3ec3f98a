import type { ClaimedSlice } from "./claimed-slice.ts";

/** A row of fifo_slices as a receive gets it. */
export interface TakenRow {
  group_id: string;
  sequence: string;
  batch_id: string;
  pending: string;
  lease: string;
  receive_count: number;
  source_queue_id: string | null;
  failure_reason: string | null;
  envelope: string | null;
  sent_ms: number;
  first_received_ms: number;
  /** Null when it was not replayed. */
  published_ms: number | null;
  /** Undefined of a repeat. */
  deadline_ms?: number;
}

export function fifoSlice(row: TakenRow): ClaimedSlice {
  return {
    batchId: row.batch_id,
    mask: BigInt(row.pending),
    lease: row.lease,
    visibleAt: Number(row.sequence),
    sentAt: Math.floor(row.sent_ms),
    firstReceivedAt: Math.round(row.first_received_ms * 1_000) / 1_000,
    receiveCount: row.receive_count,
    deadLetter:
      row.source_queue_id === null
        ? undefined
        : { sourceQueueId: row.source_queue_id, reason: row.failure_reason ?? "" },
    envelope: row.envelope ?? undefined,
    publishedAt: row.published_ms === null ? undefined : Math.floor(row.published_ms),
    group: { id: row.group_id, sequence: row.sequence, heldUntil: row.deadline_ms },
  };
}

/** The slices of a group, together and in order; that is how a claim returns them. */
export function byGroup(slices: readonly ClaimedSlice[]): ClaimedSlice[][] {
  const groups = new Map<string | undefined, ClaimedSlice[]>();
  for (const slice of slices) {
    const group = groups.get(slice.group?.id);
    if (group) group.push(slice);
    else groups.set(slice.group?.id, [slice]);
  }
  return [...groups.values()];
}
