import { numbers, texts, type Sql, type Transaction } from "@sluice/database";

import { archivedBits } from "../archive/find-archived.ts";
import { envelopeFor } from "../envelope/envelopes.ts";
import type { ReplayPage } from "./next-page.ts";

/**
 * SQL: what of a page goes to the queue now: `taken` batches (account, batch_id, sent_at, published_at, place, bits,
 * group_ids, group_masks, now), in the order of (published_at, place), and their `target` (queue_id, delay,
 * outlives_retention, has_tenants, envelope, failure_reason); see {@link envelopeOf}.
 *
 * - Another dispatcher that is at the same replay, or has moved it on, leaves nothing to take.
 * - The masks say what the filter accepts; they count only while the subscription has that very filter, and only for
 *   the kind of queue that the page was read for. Otherwise nothing is taken, and the next page is looked at with what
 *   there is then.
 * - The batches are locked against the clean-up of the archive, until their slices keep the payload: at no time does
 *   nothing refer to it.
 * - The rate bounds what has been delivered since the start; batches go whole, as soon as the rate has made room for
 *   them.
 * - Where the queue was deleted, the subscription's dead-letter queue gets it.
 */
export function takePage(sql: Sql | Transaction, page: ReplayPage, masks: readonly bigint[]) {
  return sql`
    replay AS MATERIALIZED (
      SELECT r.*, clock_timestamp() AS now,
             coalesce(r.rate * extract(epoch FROM clock_timestamp() - r.started_at), 9e15)::float8 - r.replayed AS budget
      FROM replays r
      WHERE r.id = ${page.replayId}::uuid AND r.status = 'running' AND r.done_place IS NOT DISTINCT FROM ${page.donePlace}::bigint
      FOR UPDATE OF r SKIP LOCKED
    ), target AS MATERIALIZED (
      SELECT coalesce(q.id, d.id) AS queue_id, coalesce(q.delay, 0) AS delay, q.delay >= q.retention AS outlives_retention, q.has_tenants,
             CASE WHEN NOT s.raw_delivery THEN ${envelopeFor(sql, sql`topics`)} END AS envelope, topics.fifo AS from_fifo,
             CASE WHEN q.id IS NULL THEN 'the queue "' || s.deleted_queue || '" was deleted' END AS failure_reason
      FROM replay r
      JOIN subscriptions s ON s.id = r.subscription_id AND s.account = r.account
      JOIN topics ON topics.id = s.topic_id
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = r.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = r.account AND s.queue_id IS NULL
      WHERE s.filter_id IS NOT DISTINCT FROM ${page.filterId}::bigint
        AND CASE WHEN coalesce(q.fifo, d.fifo) THEN coalesce(q.id, d.id) END IS NOT DISTINCT FROM ${page.fifoQueueId}::bigint
    ), kept AS MATERIALIZED (
      -- Their places in the archive may tell another time than that of publishing, where a clock was set back.
      SELECT b.sent_at, a.published_at, a.place, a.batch_id, a.account, a.group_ids, a.group_masks, ${archivedBits(sql)} & p.mask AS mask
      FROM unnest(
        ${numbers(page.batches.map((batch) => batch.place))}::bigint[],
        ${texts(page.batches.map((batch) => batch.publishedAt))}::text[],
        ${numbers(masks)}::bigint[]
      ) AS p(place, published_at, mask)
      JOIN archived_batches a ON a.topic_id = (SELECT topic_id FROM replay)
        AND a.published_at = p.published_at::timestamptz AND a.place = p.place
      JOIN batches b ON b.id = a.batch_id
      ORDER BY a.published_at, a.place FOR KEY SHARE OF a
    ), accepted AS (
      SELECT k.*, k.mask
             & CASE WHEN k.place = r.start_place THEN -1::bigint << r.start_bit ELSE -1 END
             & CASE WHEN k.place = r.end_place THEN 9223372036854775807 >> (62 - r.end_bit) ELSE -1 END AS bits
      FROM kept k, replay r WHERE EXISTS (SELECT FROM target)
    ), counted AS (
      SELECT *, sum(bit_count(bits::bit(64))) OVER (ORDER BY published_at, place ROWS UNBOUNDED PRECEDING) AS upto
      FROM accepted
    ), taken AS MATERIALIZED (
      SELECT c.*, r.now FROM counted c, replay r WHERE c.upto <= r.budget
    )`;
}

/** SQL: the envelope of a batch `t` that was `taken`. Of a FIFO topic it tells the sequence of its messages. */
export function envelopeOf(sql: Sql | Transaction) {
  return sql`target.envelope || CASE WHEN target.from_fifo THEN '#' || t.place ELSE '' END`;
}

/** SQL: moves the replay on past what was taken, with the messages that were `delivered` of it (queue_id, messages). */
export function movePast(sql: Sql | Transaction, page: ReplayPage) {
  return sql`
    done AS (
      SELECT EXISTS (SELECT FROM target) AND ${page.last}::boolean
             AND (SELECT count(*) FROM taken) = (SELECT count(*) FROM accepted) AS all_done
    ), recorded AS (
      UPDATE replays r
      SET replayed = r.replayed + coalesce((SELECT sum(messages) FROM delivered), 0),
          done_at = coalesce((SELECT published_at FROM taken ORDER BY published_at DESC, place DESC LIMIT 1), r.done_at),
          done_place = coalesce((SELECT place FROM taken ORDER BY published_at DESC, place DESC LIMIT 1), r.done_place),
          status = CASE WHEN done.all_done THEN 'completed' ELSE r.status END,
          finished_at = CASE WHEN done.all_done THEN replay.now END
      FROM replay, done WHERE r.id = replay.id AND (done.all_done OR EXISTS (SELECT FROM taken))
    )
    SELECT queue_id, messages, 0 AS batches FROM delivered
    UNION ALL
    SELECT NULL, 0, count(*)::int FROM taken`;
}

export interface MovedRow {
  queue_id: string | null;
  messages: number;
  batches: number;
}
