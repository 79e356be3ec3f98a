import { numbers, texts, type Fragment, type Transaction } from "@sluice/database";

import { fromHead } from "../message-group/from-head.ts";
import type { MessagePlace } from "../message/message-ids.ts";
import type { Stay } from "./deliveries.ts";
import type { Stored } from "./read-stored.ts";

/** A slice that has the message now. */
export interface FoundSlice {
  queueId: string;
  /** Of a FIFO queue. */
  sequence: string | undefined;
  receiveCount: number;
  /** In ms since the epoch, as are all of these. */
  visibleAt: number;
  sentAt: number;
  receivedAt: number | undefined;
  /** Of a dead letter: the queue that it came from, and why. */
  sourceQueueId: string | undefined;
  reason: string | undefined;
}

export interface Look {
  account: string;
  place: MessagePlace;
}

/** What a look that may have to pass a whole backlog may take. */
const FAR_LOOK_TIMEOUT = "2s";
const QUERY_CANCELED = "57014";

/**
 * Finds where the message of these deliveries rests now. There is no index by batch on slices, which each delivery
 * would pay for, so it goes from what is cheap and likely to what is not:
 *
 * - in FIFO queues by its sequence, which is on record;
 * - in standard ones at the time at which it became visible, which is on record (of what was sent: with its batch), and
 *   among what was delayed or had its visibility changed;
 * - then among what is in flight;
 * - then in everything that became visible since: it was received once, and its time ran out. That look passes the
 *   backlog behind it, entry by entry of the index and without its rows (a million take a tenth of a second), and is
 *   given up after two seconds.
 *
 * @returns What was found, and whether all was looked at.
 */
export async function findSlices(
  tx: Transaction,
  look: Look,
  { open, sentAtText }: { open: readonly Stay[] } & Pick<Stored, "sentAtText">,
): Promise<{ slices: FoundSlice[]; complete: boolean }> {
  const found = new Map<string, FoundSlice>();
  note(found, await findBySequence(tx, look, open));
  const standard = open.filter(({ arrival }) => arrival?.sequence === undefined);
  const came = standard.map((stay) => ({ ...stay, visible: visibleOf(stay, sentAtText) }));
  note(found, await findNear(tx, look, came));
  for (const within of [hidden, since]) {
    const missing = missingOf(came, [...found.values()]);
    if (missing.length === 0) break;
    const far = await inTime(tx, (sp) =>
      findWithin(sp, look, { stays: missing, within: within(sp) }),
    );
    if (!far) return { slices: [...found.values()], complete: false };
    note(found, far);
  }
  return { slices: [...found.values()], complete: true };
}

/**
 * Finds where a message rests whose arrivals are not on record: in any queue of its account, since it was sent. In FIFO
 * queues that is a look at its whole group.
 *
 * @returns Undefined when that takes too long.
 */
export async function findAnywhere(
  tx: Transaction,
  { account, place: { batchId, bit } }: Look,
  { sentAtText, groupId = "" }: Pick<Stored, "sentAtText" | "groupId">,
): Promise<FoundSlice[] | undefined> {
  const rows = await inTime(
    tx,
    (sp) => sp<SliceRow[]>`
      SELECT ${standardColumns(sp)}
      FROM queues q CROSS JOIN LATERAL (
        SELECT s.ctid AS row, s.* FROM slices s
        WHERE s.queue_id = q.id AND s.batch_id = ${batchId}::bigint AND s.visible_at >= ${sentAtText}::text::timestamptz
        ${eachQueueByItself(sp)}
      ) s
      WHERE q.account = ${account}::bigint AND NOT q.fifo AND s.account = q.account AND s.pending >> ${bit}::int & 1 = 1
      UNION ALL
      SELECT ${fifoColumns(sp)}
      FROM queues q
      JOIN fifo_groups g ON g.queue_id = q.id AND g.group_id = ${groupId} AND g.account = q.account
      CROSS JOIN LATERAL (SELECT s.ctid AS row, s.* FROM fifo_slices s WHERE ${fromHead(sp)}) s
      WHERE q.account = ${account}::bigint AND q.fifo AND s.batch_id = ${batchId}::bigint AND s.pending >> ${bit}::int & 1 = 1`,
  );
  return rows?.map(sliceOf);
}

async function findBySequence(
  tx: Transaction,
  { account, place: { batchId, bit } }: Look,
  open: readonly Stay[],
): Promise<SliceRow[]> {
  const known = open.flatMap(({ queueId, arrival }) =>
    arrival?.sequence === undefined ? [] : [{ queueId, sequence: arrival.sequence }],
  );
  if (known.length === 0) return [];
  return await tx<SliceRow[]>`
    SELECT ${fifoColumns(tx)}
    FROM unnest(
      ${numbers(known.map(({ queueId }) => queueId))}::bigint[], ${numbers(known.map(({ sequence }) => sequence))}::bigint[]
    ) AS k(queue_id, sequence)
    CROSS JOIN LATERAL (
      SELECT s.ctid AS row, s.* FROM fifo_slices s WHERE s.queue_id = k.queue_id AND s.sequence = k.sequence
    ) s
    WHERE s.batch_id = ${batchId}::bigint AND s.account = ${account}::bigint AND s.pending >> ${bit}::int & 1 = 1`;
}

async function findNear(
  tx: Transaction,
  { account, place: { batchId, bit } }: Look,
  stays: readonly Came[],
): Promise<SliceRow[]> {
  if (stays.length === 0) return [];
  return await tx<SliceRow[]>`
    SELECT ${standardColumns(tx)}
    FROM unnest(
      ${numbers(stays.map(({ queueId }) => queueId))}::bigint[],
      ${texts(stays.map(({ visible }) => visible.from))}::text[],
      ${texts(stays.map(({ visible }) => visible.until))}::text[]
    ) AS k(queue_id, "from", until)
    CROSS JOIN LATERAL (
      SELECT s.ctid AS row, s.* FROM slices s
      WHERE s.queue_id = k.queue_id AND s.visible_at BETWEEN k."from"::timestamptz AND k.until::timestamptz
        AND s.batch_id = ${batchId}::bigint
      UNION ALL
      SELECT s.ctid AS row, s.* FROM slices s WHERE s.queue_id = k.queue_id AND s.batch_id = ${batchId}::bigint AND s.moved
      ${eachQueueByItself(tx)}
    ) s
    WHERE s.account = ${account}::bigint AND s.pending >> ${bit}::int & 1 = 1`;
}

/** A delivery, with the times between which it became visible when it came. */
type Came = Stay & { visible: { from: string; until: string } };

function visibleOf({ arrival }: Stay, sentAtText: string): Came["visible"] {
  return {
    from: arrival?.visible.from ?? sentAtText,
    until: arrival?.visible.until ?? "-infinity",
  };
}

/** One stay for each queue that fewer slices were found in than it has deliveries: the one that came first. */
function missingOf(stays: readonly Came[], found: readonly FoundSlice[]): Came[] {
  const ofQueue = (queueId: string) => (other: { queueId: string }) => other.queueId === queueId;
  return stays.filter((stay) => {
    const same = stays.filter(ofQueue(stay.queueId));
    return stay === same[0] && found.filter(ofQueue(stay.queueId)).length < same.length;
  });
}

/** A look into queues, of what becomes visible within some time. */
async function findWithin(
  tx: Transaction,
  { account, place: { batchId, bit } }: Look,
  { stays, within }: { stays: readonly Came[]; within: Fragment },
): Promise<SliceRow[]> {
  return await tx<SliceRow[]>`
    SELECT ${standardColumns(tx)}
    FROM (SELECT clock_timestamp() AS now) clock
    CROSS JOIN unnest(
      ${numbers(stays.map(({ queueId }) => queueId))}::bigint[],
      ${texts(stays.map(({ visible }) => visible.from))}::text[]
    ) AS k(queue_id, came)
    CROSS JOIN LATERAL (
      SELECT s.ctid AS row, s.* FROM slices s
      WHERE s.queue_id = k.queue_id AND s.batch_id = ${batchId}::bigint AND ${within}
      ${eachQueueByItself(tx)}
    ) s
    WHERE s.account = ${account}::bigint AND s.pending >> ${bit}::int & 1 = 1`;
}

/** What becomes visible later than now. */
function hidden(tx: Transaction): Fragment {
  return tx`s.visible_at > clock.now`;
}

/** All that has become visible since the message came. */
function since(tx: Transaction): Fragment {
  return tx`s.visible_at > k.came::timestamptz AND s.visible_at <= clock.now`;
}

/**
 * SQL: ends a look into one queue, so that the planner leaves it one. A plan without the values takes what is visible
 * within two times unknown for few rows, and may read it in all queues of all accounts first.
 */
function eachQueueByItself(sql: Transaction) {
  return sql`OFFSET 0`;
}

/** What the look finds, undefined when it takes too long; what was read before stays readable. */
async function inTime(
  tx: Transaction,
  look: (sp: Transaction) => Promise<SliceRow[]>,
): Promise<SliceRow[] | undefined> {
  try {
    return await tx.savepoint(async (sp) => {
      await sp`SELECT set_config('statement_timeout', ${FAR_LOOK_TIMEOUT}, true)`;
      return await look(sp);
    });
  } catch (error) {
    if ((error as { code?: unknown }).code === QUERY_CANCELED) return undefined;
    throw error;
  }
}

function note(found: Map<string, FoundSlice>, rows: readonly SliceRow[]): void {
  // Several looks may come upon one row; in one snapshot its place is its identity.
  for (const row of rows) found.set(`${row.queue_id}/${row.row}`, sliceOf(row));
}

function standardColumns(sql: Transaction) {
  return sql`s.row::text AS row, s.queue_id, NULL::bigint AS sequence, ${commonColumns(sql)}`;
}

function fifoColumns(sql: Transaction) {
  return sql`s.row::text AS row, s.queue_id, s.sequence, ${commonColumns(sql)}`;
}

function commonColumns(sql: Transaction) {
  return sql`s.receive_count, s.source_queue_id, s.failure_reason,
           extract(epoch FROM s.visible_at)::float8 * 1000 AS visible_at, extract(epoch FROM s.sent_at)::float8 * 1000 AS sent_at,
           extract(epoch FROM s.received_at)::float8 * 1000 AS received_at`;
}

interface SliceRow {
  row: string;
  queue_id: string;
  sequence: string | null;
  receive_count: number;
  visible_at: number;
  sent_at: number;
  received_at: number | null;
  source_queue_id: string | null;
  failure_reason: string | null;
}

function sliceOf(row: SliceRow): FoundSlice {
  return {
    queueId: row.queue_id,
    sequence: row.sequence ?? undefined,
    receiveCount: row.receive_count,
    visibleAt: row.visible_at,
    sentAt: row.sent_at,
    receivedAt: row.received_at ?? undefined,
    sourceQueueId: row.source_queue_id ?? undefined,
    reason: row.failure_reason ?? undefined,
  };
}
