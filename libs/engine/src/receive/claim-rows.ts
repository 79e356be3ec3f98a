import type { AppliedMark } from "../receipt-handle/apply-marks.ts";
import type { ClaimRequest } from "./claim.ts";
import type { Claim, ClaimedSlice } from "./claimed-slice.ts";
import { LOOK_AHEAD } from "./find-visible.ts";
import { messagesIn } from "./hand-out.ts";

/**
 * Pause before asking again for dead letters that stay, in ms: whoever deletes their queue is done with it in a few, or
 * stands still for up to half a minute.
 */
export const HELD_LETTERS = 250;

/** A row that the statement of a claim returns. */
export type RowOfClaim = ClaimRow | SummaryRow | AcknowledgedRow;

/** What is to be said of each queue, in the columns of a claimed slice. */
interface SummaryRow {
  queue_id: string;
  batch_id: null;
  /**
   * How many visible slices there were, up to as many as were to be looked at; negative where one of them was received
   * too often.
   */
  pending: string;
  /** The last group that was looked at, where there are more. */
  group_id: string | null;
  /** Of the first slice that was found, or will be soon. */
  visible_at: number | null;
  /** When the claim started. */
  sent_at: number;
}

/** What became of one row that a mark names. */
interface AcknowledgedRow {
  queue_id: null;
  /** The bits of the mark that it had. */
  pending: string;
  /** The mark, counted from 1. */
  receive_count: number;
  /** Null where it was changed by somebody else. */
  visible_at: number | null;
}

interface ClaimRow {
  queue_id: string;
  batch_id: string;
  pending: string;
  lease: string;
  receive_count: number;
  source_queue_id: string | null;
  failure_reason: string | null;
  group_id: string | null;
  envelope: string | null;
  visible_at: number;
  sent_at: number;
  first_received_at: number;
  published_at: number | null;
}

/**
 * What each request got, in order.
 *
 * @param quiet - Whether only tenants that are not noisy were claimed for.
 */
export function readClaims(
  requests: readonly ClaimRequest[],
  rows: readonly RowOfClaim[],
  quiet: boolean,
): Claim[] {
  const claims = new Map(requests.map(({ queueId }) => [queueId, nothing()]));
  const summaries = new Map<string, SummaryRow>();
  for (const row of rows.filter(isOfClaim)) {
    const claimed = claims.get(row.queue_id);
    if (!claimed) continue;
    if (isClaimed(row)) claimed.slices.push(claimedSlice(row));
    else {
      summarize(claimed, row, quiet);
      summaries.set(row.queue_id, row);
    }
  }
  return requests.map((request) => {
    const claimed = claims.get(request.queueId) ?? nothing();
    const summary = summaries.get(request.queueId);
    if (summary) finish(claimed, request, summary);
    return claimed;
  });
}

function nothing(): Claim {
  return { slices: [], dueIn: undefined };
}

/** What became of the rows that marks name. */
export function readApplied(rows: readonly RowOfClaim[]): AppliedMark[] {
  return rows.filter((row) => !isOfClaim(row)).map(appliedMark);
}

function summarize(claimed: Claim, row: SummaryRow, quiet: boolean): void {
  if (quiet) {
    claimed.nextAfter = row.group_id ?? "";
    return;
  }
  const first = row.visible_at ?? undefined;
  claimed.scan = { now: row.sent_at, first };
}

function finish(claimed: Claim, request: ClaimRequest, summary: SummaryRow): void {
  const { scan, slices } = claimed;
  const seen = Math.abs(Number(summary.pending));
  const isExhausted = Number(summary.pending) < 0;
  claimed.hasDeadLetters = isExhausted;
  claimed.onlyDeadLetters = isExhausted && slices.length === 0 && seen === request.slices;
  claimed.hidesNothing = slices.some(({ visibleAt }) => visibleAt < summary.sent_at + 1_000);
  if (scan) {
    if (slices.length === 0 && scan.first !== undefined)
      claimed.dueIn = Math.max(scan.first - scan.now, isExhausted ? HELD_LETTERS : -Infinity);
    claimed.tookAll =
      slices.length === seen &&
      seen < request.slices &&
      // One that is split leaves something, and fills what was asked for.
      messagesIn(slices) < request.max &&
      slices.every(({ visibleAt }) => visibleAt > scan.now + LOOK_AHEAD);
  }
  slices.sort(bySendingTime);
}

function isOfClaim(row: RowOfClaim): row is ClaimRow | SummaryRow {
  return row.queue_id !== null;
}

function appliedMark({ pending, receive_count, visible_at }: AcknowledgedRow): AppliedMark {
  return { position: receive_count, done: pending, applied: visible_at !== null };
}

function isClaimed(row: ClaimRow | SummaryRow): row is ClaimRow {
  return row.batch_id !== null;
}

function claimedSlice(row: ClaimRow): ClaimedSlice {
  return {
    batchId: row.batch_id,
    mask: BigInt(row.pending),
    lease: row.lease,
    visibleAt: Math.round(row.visible_at),
    sentAt: Math.floor(row.sent_at),
    firstReceivedAt: Math.round(row.first_received_at * 1_000) / 1_000,
    receiveCount: row.receive_count,
    groupId: row.group_id ?? undefined,
    deadLetter:
      row.source_queue_id === null
        ? undefined
        : { sourceQueueId: row.source_queue_id, reason: row.failure_reason ?? "" },
    envelope: row.envelope ?? undefined,
    publishedAt: row.published_at === null ? undefined : Math.floor(row.published_at),
  };
}

function bySendingTime(a: ClaimedSlice, b: ClaimedSlice): number {
  return (
    a.sentAt - b.sentAt ||
    (a.publishedAt ?? 0) - (b.publishedAt ?? 0) ||
    Number(a.batchId) - Number(b.batchId)
  );
}
