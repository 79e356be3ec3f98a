import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";

import type { Directory } from "../directory/directory.ts";
import { queueNotFound } from "../errors.ts";
import { acceptMessages, resultsOf, type MessageInput } from "../message/accept-messages.ts";
import type { Observer } from "../observer.ts";
import type { WriteOptions, WriteResult } from "../publish/publish.ts";
import type { Queue } from "../queues/queues.ts";
import type { Payloads } from "../receive/payloads.ts";
import { BatchWriter } from "../write/batch-writer.ts";
import { insertSent } from "./insert-sent.ts";

/** Sends straight to a queue: batch and deliveries in one transaction, answered after its commit. */
export class Sender {
  readonly #queues: Directory<Queue>;
  readonly #writer: BatchWriter;
  readonly #observer: Observer;

  constructor(options: {
    sql: Sql;
    bus: Bus;
    payloads: Payloads;
    queues: Directory<Queue>;
    observer: Observer;
  }) {
    const { sql, bus, payloads, queues, observer } = options;
    this.#queues = queues;
    this.#observer = observer;
    this.#writer = new BatchWriter({
      sql,
      kind: "queue",
      payloads,
      insert: (batches, keys) => insertSent(sql, batches, keys),
      committed: (stored, batches) => {
        const queueIds = stored.map(({ position }) => batches[position - 1]?.targetId ?? "");
        bus.signalQueues([...new Set(queueIds)]);
      },
      notFound: (name) => queueNotFound(name),
    });
  }

  /**
   * One result a message, in order. A message that breaks a rule is refused alone.
   * @throws {SluiceError} `queue_not_found`, `idempotency_key_reused`, `too_many_requests`, `unavailable`
   */
  async send(
    account: string,
    queue: string,
    messages: readonly MessageInput[],
    { idempotencyKey }: WriteOptions = {},
  ): Promise<WriteResult[]> {
    return await this.#queues.use(account, queue, async (row) => {
      const accepted = acceptMessages(messages, row.maxMessageSize);
      if (accepted.lines.length === 0) return resultsOf(accepted);
      const firstId = await this.#writer.write({
        account,
        targetId: row.id,
        targetName: queue,
        ...accepted,
        idempotency:
          idempotencyKey === undefined
            ? undefined
            : { key: idempotencyKey, messageCount: messages.length },
      });
      if (firstId === accepted.firstMessageId) this.#observer.sent(accepted.lines.length);
      return resultsOf({ ...accepted, firstMessageId: firstId });
    });
  }

  idle(): Promise<void> {
    return this.#writer.idle();
  }
}
