import { numbers, texts, type Sql } from "@sluice/database";

import { lockGroups, type GroupKey } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { Expired } from "./delete-expired.ts";
import { readInOrder } from "./read-in-order.ts";

/** Groups that one transaction locks: whoever receives of one of them waits for all. */
const GROUPS = 500;

/**
 * Messages of FIFO queues past the retention of their queue; their groups go on with what comes next.
 *
 * A group that has been waiting for longer than the retention has a first message that was sent before that: the index
 * of each queue has those in front, and this reads groups that it removes something of, up to a chunk of them, and no
 * others.
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
  return await deleteOf(sql, found, chunk);
}

/**
 * The same, wherever they are: groups that were handed out since wait from then on. This reads all slices, and is for
 * now and then.
 */
export async function deleteExpiredFifoAnywhere(sql: Sql, chunk: number): Promise<Expired> {
  const found = await sql<FoundGroup[]>`
    SELECT DISTINCT queue_id, group_id FROM (
      SELECT s.queue_id, s.group_id FROM fifo_slices s JOIN queues q ON q.id = s.queue_id
      WHERE s.sent_at <= clock_timestamp() - make_interval(secs => q.retention)
      LIMIT ${chunk}::int) expired`;
  return await deleteOf(sql, found, chunk);
}

interface FoundGroup {
  queue_id: string;
  group_id: string;
}

async function deleteOf(sql: Sql, found: readonly FoundGroup[], chunk: number): Promise<Expired> {
  const groups = found.map((row) => ({ queueId: row.queue_id, groupId: row.group_id }));
  const total = { slices: 0, messages: 0 };
  for (let start = 0; start < groups.length; start += GROUPS) {
    const { slices, messages } = await deletePart(sql, groups.slice(start, start + GROUPS), chunk);
    total.slices += slices;
    total.messages += messages;
  }
  return total;
}

/**
 * Groups that somebody holds are left for the next time: he may stand still, and others wait for what is locked here.
 */
async function deletePart(sql: Sql, some: readonly GroupKey[], chunk: number): Promise<Expired> {
  return await sql.begin(async (tx) => {
    const groups = await lockGroups(tx, some, { skipLocked: true });
    const [deleted] = await tx<Expired[]>`
      WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
      ), expired AS (
        DELETE FROM fifo_slices WHERE ctid IN (
          SELECT s.ctid FROM unnest(
            ${numbers(groups.map((group) => group.queueId))}::bigint[], ${texts(groups.map((group) => group.groupId))}::text[]
          ) AS k(queue_id, group_id)
          JOIN fifo_slices s ON s.queue_id = k.queue_id AND s.group_id = k.group_id
          JOIN queues q ON q.id = s.queue_id
          WHERE s.sent_at <= clock_timestamp() - make_interval(secs => q.retention)
          LIMIT ${chunk}::int)
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

const NOTHING: Expired = { slices: 0, messages: 0 };
