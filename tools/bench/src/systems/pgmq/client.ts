import connect from "postgres";

import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import type { Client, Take } from "../client.ts";
import { inParts } from "../in-parts.ts";
import { poll } from "../poll.ts";

/** Milliseconds: the default of `pgmq.read_with_poll`. */
const pollInterval = 100;

/** A queue is a table of its own; a publish puts a row into the table of each queue, in one statement. */
export class PgmqClient implements Client {
  readonly #sql: connect.Sql;

  constructor({ url = "" }: Address) {
    this.#sql = connect(url, { max: 16, onnotice: () => undefined });
  }

  async create({ queues }: Names): Promise<void> {
    await this.#sql.unsafe("CREATE SCHEMA IF NOT EXISTS pgmq");
    await inParts(queues, async (queue) => {
      const table = tableOf(queue);
      await this.#sql.unsafe(`
        CREATE TABLE ${table} (
          msg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          read_ct integer NOT NULL DEFAULT 0,
          enqueued_at timestamptz NOT NULL DEFAULT now(),
          vt timestamptz NOT NULL,
          message jsonb,
          headers jsonb
        )`);
      await this.#sql.unsafe(`CREATE INDEX ON ${table} (vt ASC)`);
    });
  }

  async remove({ queues }: Names): Promise<void> {
    await inParts(queues, async (queue) => this.#sql.unsafe(`DROP TABLE ${tableOf(queue)}`));
  }

  async publish({ queues }: Names, bodies: string[]): Promise<void> {
    const inserts = queues.map(
      (queue, index) => `q${index} AS (
        INSERT INTO ${tableOf(queue)} (vt, message) SELECT clock_timestamp(), message FROM sent)`,
    );
    const text = `
      WITH sent AS (SELECT unnest($1::text[])::jsonb AS message), ${inserts.join(",")}
      SELECT 1`;
    await this.#sql.unsafe(text, [bodies], { prepare: true });
  }

  async send(queue: string, bodies: string[]): Promise<void> {
    const text = `
      INSERT INTO ${tableOf(queue)} (vt, message)
      SELECT clock_timestamp(), unnest($1::text[])::jsonb
      RETURNING msg_id`;
    await this.#sql.unsafe(text, [bodies], { prepare: true });
  }

  consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>> {
    const table = tableOf(queue);
    const read = `
      WITH next AS (
        SELECT msg_id FROM ${table} WHERE vt <= clock_timestamp()
        ORDER BY msg_id LIMIT $1 FOR UPDATE SKIP LOCKED)
      UPDATE ${table} m SET vt = clock_timestamp() + interval '30 seconds', read_ct = read_ct + 1
      FROM next WHERE m.msg_id = next.msg_id
      RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.vt, m.message::text AS message`;
    const remove = `DELETE FROM ${table} WHERE msg_id = ANY($1::bigint[]) RETURNING msg_id`;
    return Promise.resolve(
      poll({ interval: pollInterval, pollers: load.receivers }, async () => {
        const rows = await this.#sql.unsafe<{ msg_id: string; message: string }[]>(
          read,
          [load.receiveBatch],
          { prepare: true },
        );
        if (rows.length === 0) return false;
        take(rows.map(({ message }) => stampOf(message)));
        await this.#sql.unsafe(remove, [rows.map(({ msg_id }) => msg_id)], { prepare: true });
        return true;
      }),
    );
  }

  async left(queue: string): Promise<number> {
    const text = `SELECT count(*)::integer AS count FROM ${tableOf(queue)}`;
    const [row] = await this.#sql.unsafe<{ count: number }[]>(text);
    return row?.count ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sql.end();
  }
}

function tableOf(queue: string): string {
  return `pgmq."q_${queue}"`;
}
