import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";

import type { Directory } from "../directory/directory.ts";
import { queueNotFound } from "../errors.ts";
import type { MessageInput } from "../message/message.ts";
import type { Observer } from "../observer.ts";
import type { Queue } from "../queues/queue-rows.ts";
import type { Payloads } from "../receive/payloads.ts";
import { without, type Rounds } from "../rounds/rounds.ts";
import type { BatchIds } from "../write/batch-ids.ts";
import { lengthOf, targetsOf, type Inserted, type NewBatch } from "../write/batch-writer.ts";
import type { IdempotencyKey } from "../write/idempotency-keys.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { MessageWriter, type WriteOptions, type WriteResult } from "../write/message-writer.ts";
import { insertFifo } from "./insert-fifo.ts";
import { insertSent } from "./insert-sent.ts";

export interface SenderOptions {
  sql: Sql;
  waits: LockWaits;
  rounds: Rounds;
  bus: Bus;
  payloads: Payloads;
  batchIds: BatchIds;
  queues: Directory<Queue>;
  observer: Observer;
}

/** Sends straight to a queue: batch and deliveries in one transaction, answered after its commit. */
export class Sender {
  readonly #options: SenderOptions;
  readonly #messages: MessageWriter<Queue>;

  constructor(options: SenderOptions) {
    const { sql, waits, payloads, batchIds, queues, observer } = options;
    this.#options = options;
    this.#messages = new MessageWriter({
      sql,
      kind: "queue",
      payloads,
      batchIds,
      waits,
      directory: queues,
      notFound: queueNotFound,
      insert: (batches, keys) => this.#insert(batches, keys),
      insertFifo: (batches, keys, lockTimeout) => this.#insertFifo(batches, keys, lockTimeout),
      stored: (messages) => {
        observer.sent(messages);
      },
    });
  }

  /** See {@link MessageWriter.write}. */
  send(
    account: string,
    queue: string,
    messages: readonly MessageInput[],
    options?: WriteOptions,
  ): Promise<WriteResult[]> {
    return this.#messages.write(account, queue, messages, options);
  }

  idle(): Promise<void> {
    return this.#messages.idle();
  }

  async #insert(batches: NewBatch[], keys: IdempotencyKey[]): Promise<Inserted> {
    const { rounds, bus } = this.#options;
    const queueIds = targetsOf(batches);
    const { result: stored, emptied } = await rounds.store({
      queueIds,
      length: lengthOf(batches),
      statement: (hot) => insertSent(hot, batches, keys),
    });
    return {
      stored,
      announce: () => {
        bus.signalQueues(without(queueIds, emptied));
      },
    };
  }

  async #insertFifo(
    batches: NewBatch[],
    keys: IdempotencyKey[],
    lockTimeout: string | undefined,
  ): Promise<Inserted> {
    const { sql, bus } = this.#options;
    return {
      stored: await insertFifo(sql, batches, keys, lockTimeout),
      announce: () => {
        bus.signalQueues(targetsOf(batches));
      },
    };
  }
}
