import connect from "postgres";

import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import type { Client, Take } from "../client.ts";
import { inParts } from "../in-parts.ts";
import { poll } from "../poll.ts";
import { tableOf, type PgmqStatements } from "./statements.ts";

/** Milliseconds: the default of `pgmq.read_with_poll`. */
const pollInterval = 100;

/** A queue is a table of its own; a publish puts a row into the table of each queue, in one statement. */
export class PgmqClient implements Client {
  readonly #sql: connect.Sql;
  readonly #statements: PgmqStatements;

  constructor({ url = "" }: Address, statements: PgmqStatements) {
    this.#sql = connect(url, { max: 16, onnotice: () => undefined });
    this.#statements = statements;
  }

  async create({ topic, queues }: Names): Promise<void> {
    await inParts(queues, async (queue) => this.#sql.unsafe(this.#statements.create(queue, topic)));
  }

  async remove({ queues }: Names): Promise<void> {
    await inParts(queues, async (queue) => this.#sql.unsafe(this.#statements.drop(queue)));
  }

  async publish(names: Names, bodies: string[]): Promise<void> {
    await this.#sql.unsafe(this.#statements.publish(names), [bodies], { prepare: true });
  }

  async send(queue: string, bodies: string[]): Promise<void> {
    await this.#sql.unsafe(this.#statements.send(queue), [bodies], { prepare: true });
  }

  consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>> {
    const read = this.#statements.read(queue);
    const remove = this.#statements.delete(queue);
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
