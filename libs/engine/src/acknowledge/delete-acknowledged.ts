import { constant, statement, type Fragment, type Sql, type Statement } from "@sluice/database";

import { heldSlices, type AppliedMark, type Lookup } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { recordEvents } from "../trace/record-events.ts";

/**
 * Clears the bits of slices that their receives still hold; a slice with none left goes.
 *
 * The lease is checked again where the row is written: a claim that got in between has changed it, and then nothing
 * happens here. So are the bits: part of them may have been split off meanwhile, and servers older than November 2025
 * (without "Add missing EPQ recheck for TID Scan") do not notice that the row they waited for is not the one they
 * found.
 */
export function deleteAcknowledged(
  sql: Sql,
  marks: readonly SliceMark[],
  lookup: Lookup,
  lockTimeout?: string,
): Statement<AppliedMark[]> {
  const query = sql<AppliedMark[]>`
    WITH ${deletingAcknowledged(sql, marks, lookup, lockTimeout)}
    SELECT position::int, done, row IN (SELECT row FROM applied) AS applied FROM found`;
  return statement(query, (rows) => rows);
}

/** SQL: the parts of a statement that do it: of each row `found` they tell whether it was `applied`. */
export function deletingAcknowledged(
  sql: Sql,
  marks: readonly SliceMark[],
  lookup: Lookup,
  lockTimeout?: string,
): Fragment {
  return sql`found AS MATERIALIZED (
      SELECT m.position, s.ctid AS row, s.account, s.queue_id, s.batch_id, s.lease, s.pending & m.mask AS done, s.pending & ~m.mask AS rest
      FROM ${heldSlices(sql, marks, lookup, lockTimeout)}
    ), emptied AS (
      DELETE FROM slices s USING found f
      WHERE f.rest = 0 AND s.ctid = f.row AND s.lease = f.lease AND s.pending = f.done
      RETURNING f.row, f.account, f.queue_id, f.batch_id, f.done
    ), reduced AS (
      UPDATE slices s SET pending = s.pending & ~f.done FROM found f
      WHERE f.rest <> 0 AND s.ctid = f.row AND s.lease = f.lease
        AND s.pending & f.done = f.done AND s.pending & ~f.done <> 0
      RETURNING f.row, f.account, f.queue_id, f.batch_id, f.done
    ), applied AS (
      SELECT * FROM emptied UNION ALL SELECT * FROM reduced
    ), acknowledged_ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages)
      SELECT account, queue_id, 'acknowledged', sum(bit_count(done::bit(64))) FROM applied GROUP BY account, queue_id
    ), acknowledged_events AS (
      ${acknowledgedEvents(sql)}
    )`;
}

const acknowledgedEvents = constant((sql) =>
  recordEvents(
    sql,
    "acknowledged",
    sql`(SELECT account, queue_id, batch_id, done AS mask FROM applied)`,
  ),
);
