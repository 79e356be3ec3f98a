import { numbers, type Sql } from "@sluice/database";

import { fifoHeads } from "./fifo-heads.ts";

/** Ages in ms, by the database clock. */
export interface Forgotten {
  /** Batches older than this were announced to nobody who acted on it. */
  olderThan: number;
  /** Those older than this are left out: undefined looks at all of them. */
  youngerThan: number | undefined;
  /** Batches that are left out. */
  except: readonly string[];
  /** Topics whose batches are. */
  exceptTopics: readonly string[];
  limit: number;
}

/**
 * Batches whose announcement was lost, oldest first. Walks what dead entries the outbox has of the time it looks at,
 * and while something holds the xmin horizon, those are all that were ever in it.
 */
export async function findForgotten(
  sql: Sql,
  { olderThan, youngerThan, except, exceptTopics, limit }: Forgotten,
): Promise<string[]> {
  const rows = await sql<{ batch_id: string }[]>`
    SELECT batch_id FROM outbox
    WHERE sent_at < (SELECT clock_timestamp() - ${olderThan}::float8 * interval '1 millisecond')
      AND sequence IS NULL AND batch_id <> ALL (${numbers(except)}::bigint[]) AND topic_id <> ALL (${numbers(exceptTopics)}::bigint[])
      AND sent_at > (SELECT coalesce(clock_timestamp() - ${youngerThan ?? null}::float8 * interval '1 millisecond', '-infinity'))
    ORDER BY sent_at LIMIT ${limit}::int`;
  return rows.map((row) => row.batch_id);
}

/**
 * Batches that were published after now: a clock was set back, by a failover say. What was not fanned out before it was
 * announced to nobody who acted on it.
 */
export async function findAhead(
  sql: Sql,
  { except, exceptTopics, limit }: Pick<Forgotten, "except" | "exceptTopics" | "limit">,
): Promise<string[]> {
  const rows = await sql<{ batch_id: string }[]>`
    SELECT batch_id FROM outbox
    WHERE sent_at > (SELECT clock_timestamp()) AND sent_at < 'infinity'
      AND sequence IS NULL AND batch_id <> ALL (${numbers(except)}::bigint[]) AND topic_id <> ALL (${numbers(exceptTopics)}::bigint[])
    ORDER BY sent_at LIMIT ${limit}::int`;
  return rows.map((row) => row.batch_id);
}

/** What {@link findForgotten} finds, of these topics alone. */
export async function findForgottenOf(
  sql: Sql,
  {
    topicIds,
    olderThan,
    except,
    limit,
  }: Pick<Forgotten, "olderThan" | "except" | "limit"> & { topicIds: readonly string[] },
): Promise<string[]> {
  const rows = await sql<{ batch_id: string }[]>`
    SELECT batch_id FROM outbox
    WHERE sent_at < (SELECT clock_timestamp() - ${olderThan}::float8 * interval '1 millisecond')
      AND sequence IS NULL AND topic_id = ANY (${numbers(topicIds)}::bigint[]) AND batch_id <> ALL (${numbers(except)}::bigint[])
    ORDER BY sent_at LIMIT ${limit}::int`;
  return rows.map((row) => row.batch_id);
}

/**
 * FIFO topics whose first waiting batch is older than that, in ms, or ahead of the clock: one look at the front of
 * each.
 */
export async function findForgottenTopics(sql: Sql, olderThan: number): Promise<string[]> {
  const rows = await sql<{ topic_id: string }[]>`
    WITH RECURSIVE ${fifoHeads(sql)}
    SELECT topic_id FROM heads, (SELECT clock_timestamp() AS now) clock
    WHERE sent_at < now - ${olderThan}::float8 * interval '1 millisecond' OR (sent_at > now AND sent_at < 'infinity')`;
  return rows.map((row) => row.topic_id);
}
