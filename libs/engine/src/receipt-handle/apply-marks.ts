import { constant, numbers, type Fragment, type Sql } from "@sluice/database";

import type { SliceMark } from "./slice-marks.ts";

/** What one statement did to one row that a mark names. */
export interface AppliedMark {
  /** The mark, counted from 1. */
  position: number;
  /** The bits of the mark that the row had. */
  done: string;
  /** False when another statement changed the row in the same instant: look again. */
  applied: boolean;
}

/** Which way a statement finds the rows: by the deadline in the handle, or among those whose deadline was moved. */
export type Lookup = "exact" | "moved";

export type MarkStatement = (marks: readonly SliceMark[], lookup: Lookup) => Promise<AppliedMark[]>;

/**
 * Collisions on one slice need two processes in one instant; each round settles at least one of them, and a slice has
 * no more than 63 messages for others to acknowledge.
 */
const MAX_ROUNDS = 64;

/**
 * Runs a statement for marks until each bit is accounted for, and returns the bits done for each mark.
 *
 * Nearly always the first, exact lookup does it all. What it leaves is either held in a part whose deadline its holder
 * moved, or was changed by another statement at that very moment, or is no longer held at all.
 */
export async function applyMarks(
  marks: readonly SliceMark[],
  statement: MarkStatement,
): Promise<bigint[]> {
  const all = marks.map((mark): Progress => ({ mark, done: 0n }));
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    let collided = false;
    for (const lookup of ["exact", "moved"] as const) {
      const left = all.filter(isUnfinished);
      if (left.length === 0) return all.map(({ done }) => done);
      const rows = await statement(
        left.map(({ mark, done }) => ({ ...mark, mask: mark.mask & ~done })),
        lookup,
      );
      for (const row of rows) {
        const progress = left[row.position - 1];
        if (progress && row.applied) progress.done |= BigInt(row.done);
        collided ||= !row.applied;
      }
    }
    if (!collided) break;
  }
  return all.map(({ done }) => done);
}

interface Progress {
  mark: SliceMark;
  /** The bits of it that are accounted for. */
  done: bigint;
}

function isUnfinished({ mark, done }: Progress): boolean {
  return (mark.mask & ~done) !== 0n;
}

/**
 * SQL: the rows that marks name, as `m` (the marks) joined to `s` (slices), fenced by the lease.
 *
 * The exact lookup reads one index entry a mark; the other one reads the partial index of moved slices. They are looked
 * up one mark after the other (OFFSET 0): joined, all slices would be read first by a plan from a moment at which
 * ANALYZE saw the table empty, as it is where messages are acknowledged as fast as they come.
 *
 * @param lockTimeout - How long the statement that changes them waits for a lock; default: as long as its connection
 * does. It is set before the first row is found, and for this statement only: in a transaction it would be one round
 * trip more.
 */
export function heldSlices(
  sql: Sql,
  marks: readonly SliceMark[],
  lookup: Lookup,
  lockTimeout?: string,
): Fragment {
  const always = lockTimeout
    ? sql`(SELECT set_config('lock_timeout', ${lockTimeout}, true)) IS NOT NULL`
    : anyway(sql);
  return sql`
    unnest(
      ${numbers(marks.map((mark) => mark.queueId))}::bigint[],
      ${numbers(marks.map((mark) => mark.visibleAt))}::bigint[],
      ${numbers(marks.map((mark) => mark.batchId))}::bigint[],
      ${numbers(marks.map((mark) => mark.lease))}::bigint[],
      ${numbers(marks.map((mark) => mark.mask))}::bigint[]
    ) WITH ORDINALITY AS m(queue_id, visible_at, batch_id, lease, mask, position)
    JOIN LATERAL (
      SELECT s.ctid, s.* FROM slices s
      WHERE s.queue_id = m.queue_id AND s.batch_id = m.batch_id AND s.lease = m.lease AND s.pending & m.mask <> 0
        AND ${lookup === "moved" ? moved(sql) : exact(sql)}
      OFFSET 0
    ) s ON ${always}`;
}

const anyway = constant((sql) => sql`true`);
const moved = constant((sql) => sql`s.moved`);
const exact = constant(
  (sql) =>
    sql`NOT s.moved AND s.visible_at = timestamptz 'epoch' + m.visible_at * interval '1 millisecond'`,
);
