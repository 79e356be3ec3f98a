import { texts, type Sql } from "@sluice/database";

import { lockGroups, lockQueues } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { recordEvents } from "../trace/record-events.ts";

/** Groups that one transaction holds. */
const GROUPS = 500;
/** Slices that one transaction deletes: what it holds is in the way of sends and receives. */
const SLICES = 10_000;

/**
 * Deletes every message that a FIFO queue had at a moment, in flight or not; what is answered later survives. It goes
 * through the groups, a few at a time.
 *
 * @param last - The moment, a place in the order of commits; see {@link lastSequence}.
 * @returns How many messages are gone.
 */
export async function purgeFifo(
  sql: Sql,
  queue: { id: string; account: string },
  last: string,
): Promise<number> {
  let purged = 0;
  for (let after = ""; ;) {
    const step = await purgeGroups(sql, queue, { last, after });
    purged += step.messages;
    if (step.groups.length === 0) return purged;
    // Groups with more than a step deletes come again.
    if (step.slices < SLICES) after = step.groups.at(-1) ?? "";
  }
}

/** What came to a FIFO queue last, looked up while nobody adds to it. */
export async function lastSequence(
  sql: Sql,
  { id, account }: { id: string; account: string },
  lockTimeout: string | undefined,
): Promise<string> {
  return await sql.begin(async (tx) => {
    await lockQueues(tx, [id], { lockTimeout });
    const [row] = await tx<{ last: string }[]>`
      SELECT coalesce(max(sequence), 0) AS last FROM fifo_slices
      WHERE queue_id = ${id}::bigint AND account = ${account}::bigint`;
    return row?.last ?? "0";
  });
}

async function purgeGroups(
  sql: Sql,
  { id, account }: { id: string; account: string },
  { last, after }: { last: string; after: string },
): Promise<{ groups: string[]; slices: number; messages: number }> {
  const next = await sql<{ group_id: string }[]>`
    SELECT group_id FROM fifo_groups
    WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND group_id > ${after} AND head_sequence <= ${last}::bigint
    ORDER BY queue_id, group_id LIMIT ${GROUPS}::int`;
  const groups = next.map((row) => row.group_id);
  if (groups.length === 0) return { groups, slices: 0, messages: 0 };
  return await sql.begin(async (tx) => {
    const locked = await lockGroups(
      tx,
      groups.map((groupId) => ({ queueId: id, groupId })),
    );
    const [gone] = await tx<{ slices: number; messages: number }[]>`
      WITH purged AS (
        DELETE FROM fifo_slices WHERE ctid IN (
          SELECT s.ctid FROM unnest(${texts(locked.map((group) => group.groupId))}::text[]) AS k(group_id)
          JOIN fifo_slices s ON s.queue_id = ${id}::bigint AND s.group_id = k.group_id AND s.account = ${account}::bigint
          WHERE s.sequence <= ${last}::bigint
          LIMIT ${SLICES}::int)
        RETURNING account, queue_id, batch_id, sequence, pending, receive_count, visible_at
      ), counted AS (
        SELECT count(*)::int AS slices, coalesce(sum(bit_count(pending::bit(64))), 0)::int AS messages FROM purged
      ), ledger AS (
        INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
        SELECT ${account}::bigint, ${id}::bigint, 'purged', messages, NULL FROM counted WHERE messages > 0
        UNION ALL
        SELECT ${account}::bigint, ${id}::bigint, 'delayed', -sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
        FROM purged, (SELECT clock_timestamp() AS now) clock
        WHERE receive_count = 0 AND visible_at > now GROUP BY date_trunc('minute', visible_at)
      ), events AS (
        ${recordEvents(tx, "purged", tx`(SELECT account, queue_id, batch_id, sequence, pending AS mask FROM purged)`, ["sequence"])}
      )
      SELECT slices, messages FROM counted`;
    await settleGroups(tx, locked);
    return { groups, slices: gone?.slices ?? 0, messages: gone?.messages ?? 0 };
  });
}
