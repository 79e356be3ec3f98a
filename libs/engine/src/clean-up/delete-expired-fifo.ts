import { numbers, texts, type Fragment, type Sql, type Transaction } from "@sluice/database";

import { fromHead } from "../message-group/from-head.ts";
import { groupRow } from "../message-group/group-row.ts";
import { lockGroups, type GroupKey } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { slicesAt } from "../message-group/slices-at.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { Expired } from "./delete-expired.ts";
import { readInOrder } from "./read-in-order.ts";

/** Groups that one transaction locks: whoever receives of one of them waits for all. */
const GROUPS = 500;

/** SQL: the places of expired slices of locked groups, as `row`; a bounded number is read. */
type ExpiredOf = (tx: Transaction, locked: readonly GroupKey[]) => Fragment;

/**
 * Messages of FIFO queues past the retention of their queue; their groups go on with what comes next.
 *
 * A group that has been waiting for longer than the retention has a first message that was sent before that: the index
 * of each queue has those in front, and this reads groups that it removes something of, up to a chunk of them, and no
 * others. Of each it reads from the head to the first message that is to stay, and not the backlog behind that, while
 * sends and receives wait for the group (of 500,000 messages 2.2 s).
 */
export async function deleteExpiredFifo(sql: Sql, chunk: number): Promise<Expired> {
  const found = await sql.begin(async (tx) => {
    await readInOrder(tx);
    return await tx<FoundGroup[]>`
      SELECT g.queue_id, g.group_id FROM queues q CROSS JOIN LATERAL (
        SELECT queue_id, group_id FROM fifo_groups
        WHERE queue_id = q.id
          AND available_at <= (SELECT clock_timestamp()) - make_interval(secs => q.retention)
        ORDER BY queue_id, available_at LIMIT ${chunk}::int
      ) g WHERE q.fifo LIMIT ${chunk}::int`;
  });
  return await deleteOf(sql, found.map(keyOf), (tx, locked) => expiredHeads(tx, locked, chunk));
}

/**
 * The same, wherever they are: groups that were handed out since wait from then on, and what is to stay may stand
 * before what has expired. This reads all slices, and is for now and then.
 */
export async function deleteExpiredFifoAnywhere(sql: Sql, chunk: number): Promise<Expired> {
  const found = await sql<FoundSlice[]>`
    SELECT s.queue_id, s.group_id, s.sequence FROM fifo_slices s JOIN queues q ON q.id = s.queue_id
    WHERE s.sent_at <= clock_timestamp() - make_interval(secs => q.retention)
    LIMIT ${chunk}::int`;
  const byGroup = new Map<string, { key: GroupKey; slices: FoundSlice[] }>();
  for (const slice of found) {
    const key = keyOf(slice);
    const of = byGroup.get(nameOf(key));
    if (of) of.slices.push(slice);
    else byGroup.set(nameOf(key), { key, slices: [slice] });
  }
  const groups = [...byGroup.values()].map(({ key }) => key);
  return await deleteOf(sql, groups, (tx, locked) =>
    expiredAt(
      tx,
      locked.flatMap((key) => byGroup.get(nameOf(key))?.slices ?? []),
    ),
  );
}

interface FoundGroup {
  queue_id: string;
  group_id: string;
}

interface FoundSlice extends FoundGroup {
  sequence: string;
}

function keyOf({ queue_id, group_id }: FoundGroup): GroupKey {
  return { queueId: queue_id, groupId: group_id };
}

function nameOf({ queueId, groupId }: GroupKey): string {
  return `${queueId}/${groupId}`;
}

async function deleteOf(
  sql: Sql,
  groups: readonly GroupKey[],
  expiredOf: ExpiredOf,
): Promise<Expired> {
  const total = { slices: 0, messages: 0 };
  for (let start = 0; start < groups.length; start += GROUPS) {
    const some = groups.slice(start, start + GROUPS);
    const { slices, messages } = await deletePart(sql, some, expiredOf);
    total.slices += slices;
    total.messages += messages;
  }
  return total;
}

/**
 * Groups that somebody holds are left for the next time: he may stand still, and others wait for what is locked here.
 */
async function deletePart(
  sql: Sql,
  some: readonly GroupKey[],
  expiredOf: ExpiredOf,
): Promise<Expired> {
  return await sql.begin(async (tx) => {
    const groups = await lockGroups(tx, some, { skipLocked: true });
    const [deleted] = await tx<Expired[]>`
      WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
      ), expired AS (
        DELETE FROM fifo_slices WHERE ctid = ANY(ARRAY(${expiredOf(tx, groups)}))
        RETURNING account, queue_id, batch_id, sequence, pending, receive_count, visible_at
      ), ledger AS (
        INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
        SELECT account, queue_id, 'expired', sum(bit_count(pending::bit(64))), NULL FROM expired GROUP BY account, queue_id
        UNION ALL
        SELECT account, queue_id, 'delayed', -sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
        FROM expired, clock WHERE receive_count = 0 AND visible_at > now
        GROUP BY account, queue_id, date_trunc('minute', visible_at)
      ), events AS (
        ${recordEvents(tx, "expired", tx`(SELECT account, queue_id, batch_id, sequence, pending AS mask FROM expired)`, ["sequence"])}
      )
      SELECT count(*)::int AS slices, coalesce(sum(bit_count(pending::bit(64))), 0)::int AS messages FROM expired`;
    await settleGroups(tx, groups);
    return deleted ?? NOTHING;
  });
}

/** Up to a chunk of what stands at the heads of the groups, each up to the first slice that has not expired. */
function expiredHeads(tx: Transaction, groups: readonly GroupKey[], chunk: number): Fragment {
  return tx`
    SELECT s.row FROM unnest(
      ${numbers(groups.map((group) => group.queueId))}::bigint[], ${texts(groups.map((group) => group.groupId))}::text[]
    ) AS k(queue_id, group_id)
    ${groupRow(tx)}
    CROSS JOIN LATERAL (
      SELECT (SELECT now FROM clock) - make_interval(secs => q.retention) AS sent_at FROM queues q WHERE q.id = g.queue_id OFFSET 0
    ) expired
    CROSS JOIN LATERAL (
      SELECT coalesce((
        SELECT f.before FROM (
          SELECT s.sent_at, row_number() OVER (ORDER BY s.queue_id, s.group_id, s.sequence) - 1 AS before
          FROM fifo_slices s WHERE ${fromHead(tx)}
          ORDER BY s.queue_id, s.group_id, s.sequence LIMIT ${chunk}::int
        ) f WHERE f.sent_at > expired.sent_at LIMIT 1
      ), ${chunk}::int) AS slices
    ) leaving
    CROSS JOIN LATERAL (
      -- Ended by a LIMIT, as in settleGroups.
      SELECT s.ctid AS row FROM fifo_slices s WHERE ${fromHead(tx)}
      ORDER BY s.queue_id, s.group_id, s.sequence LIMIT leaving.slices
    ) s LIMIT ${chunk}::int`;
}

/** Those of these slices that are there still, unless they are kept for longer by now. */
function expiredAt(tx: Transaction, slices: readonly FoundSlice[]): Fragment {
  return tx`
    SELECT s.row FROM unnest(
      ${numbers(slices.map((slice) => slice.queue_id))}::bigint[], ${numbers(slices.map((slice) => slice.sequence))}::bigint[]
    ) AS m(queue_id, sequence)
    ${slicesAt(tx)}
    JOIN queues q ON q.id = s.queue_id
    WHERE s.sent_at <= (SELECT now FROM clock) - make_interval(secs => q.retention)`;
}

const NOTHING: Expired = { slices: 0, messages: 0 };
