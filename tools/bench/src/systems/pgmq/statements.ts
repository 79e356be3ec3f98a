import type { Names } from "../../load/load.ts";

/** What a client of pgmq says; bodies come as `$1` and are JSON. */
export interface PgmqStatements {
  create(queue: string, topic: string): string;
  drop(queue: string): string;
  publish(names: Names): string;
  send(queue: string): string;
  /** At most `$1` messages. */
  read(queue: string): string;
  /** Those with the identifiers in `$1`. */
  delete(queue: string): string;
}

/** Its own functions, as its documentation has them called. Names of rounds need no quoting. */
export const functions: PgmqStatements = {
  create: (queue, topic) =>
    `SELECT pgmq.create('${queue}'); SELECT pgmq.bind_topic('${topic}', '${queue}')`,
  drop: (queue) => `SELECT pgmq.drop_queue('${queue}')`,
  // What they return is counted and not sent: the client would throw it away.
  publish: ({ topic }) =>
    `SELECT count(*) FROM pgmq.send_batch_topic('${topic}', $1::text[]::jsonb[])`,
  send: (queue) => `SELECT count(*) FROM pgmq.send_batch('${queue}', $1::text[]::jsonb[])`,
  read: (queue) => `
    SELECT msg_id, read_ct, enqueued_at, vt, message::text AS message FROM pgmq.read('${queue}', 30, $1)`,
  delete: (queue) => `SELECT pgmq.delete('${queue}', $1::bigint[])`,
};

/** What its functions do, without them around it: its tables with the statements in them, prepared. */
export const layout: PgmqStatements = {
  create: (queue) => `
    CREATE TABLE ${tableOf(queue)} (
      msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      read_ct integer NOT NULL DEFAULT 0,
      enqueued_at timestamptz NOT NULL DEFAULT now(),
      vt timestamptz NOT NULL,
      message jsonb,
      headers jsonb
    );
    CREATE INDEX ON ${tableOf(queue)} (vt ASC)`,
  drop: (queue) => `DROP TABLE ${tableOf(queue)}`,
  publish: ({ queues }) => {
    const inserts = queues.map(
      (queue, index) => `q${index} AS (
        INSERT INTO ${tableOf(queue)} (vt, message) SELECT clock_timestamp(), message FROM sent)`,
    );
    return `
      WITH sent AS (SELECT unnest($1::text[])::jsonb AS message), ${inserts.join(",")}
      SELECT 1`;
  },
  send: (queue) => `
    INSERT INTO ${tableOf(queue)} (vt, message)
    SELECT clock_timestamp(), unnest($1::text[])::jsonb
    RETURNING msg_id`,
  read: (queue) => `
    WITH next AS (
      SELECT msg_id FROM ${tableOf(queue)} WHERE vt <= clock_timestamp()
      ORDER BY msg_id LIMIT $1 FOR UPDATE SKIP LOCKED)
    UPDATE ${tableOf(queue)} m SET vt = clock_timestamp() + interval '30 seconds', read_ct = read_ct + 1
    FROM next WHERE m.msg_id = next.msg_id
    RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.vt, m.message::text AS message`,
  delete: (queue) =>
    `DELETE FROM ${tableOf(queue)} WHERE msg_id = ANY($1::bigint[]) RETURNING msg_id`,
};

export function tableOf(queue: string): string {
  return `pgmq."q_${queue}"`;
}
