import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";

import type { Directory } from "../directory/directory.ts";
import { queueNotFound } from "../errors.ts";
import { acceptMessages, resultsOf, type MessageInput } from "../message/accept-messages.ts";
import type { Observer } from "../observer.ts";
import type { WriteOptions, WriteResult } from "../publish/publish.ts";
import type { Queue } from "../queues/queues.ts";
import type { Payloads } from "../receive/payloads.ts";
import type { BatchIds } from "../write/batch-ids.ts";
import {
  BatchWriter,
  lengthOf,
  targetsOf,
  type BatchWriterOptions,
} from "../write/batch-writer.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { fifoMessage } from "../message/fifo-message.ts";
import { insertFifo } from "./insert-fifo.ts";
import { without, type Rounds } from "../rounds/rounds.ts";
import { insertSent } from "./insert-sent.ts";

/** Sends straight to a queue: batch and deliveries in one transaction, answered after its commit. */
export class Sender {
  readonly #queues: Directory<Queue>;
  readonly #writer: BatchWriter;
  /** Of FIFO queues: a round of them waits for the locks of its queues. */
  readonly #fifoWriter: BatchWriter;
  readonly #observer: Observer;

  constructor(options: {
    sql: Sql;
    waits: LockWaits;
    rounds: Rounds;
    bus: Bus;
    payloads: Payloads;
    batchIds: BatchIds;
    queues: Directory<Queue>;
    observer: Observer;
  }) {
    const { sql, waits, rounds, bus, payloads, batchIds, queues, observer } = options;
    this.#queues = queues;
    this.#observer = observer;
    const common: Omit<BatchWriterOptions, "insert"> = {
      sql,
      kind: "queue",
      payloads,
      batchIds,
      notFound: (name) => queueNotFound(name),
    };
    this.#writer = new BatchWriter({
      ...common,
      insert: async (batches, keys) => {
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
      },
    });
    this.#fifoWriter = new BatchWriter({
      ...common,
      waits,
      insert: async (batches, keys, lockTimeout) => ({
        stored: await insertFifo(sql, batches, keys, lockTimeout),
        announce: () => {
          bus.signalQueues(targetsOf(batches));
        },
      }),
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
    { idempotencyKey, repeatableFor = 0 }: WriteOptions = {},
  ): Promise<WriteResult[]> {
    return await this.#queues.use(account, queue, async (row) => {
      const { messages: accepted, refusals } = acceptMessages(
        messages,
        row.maxMessageSize,
        row.fifo ? (message) => fifoMessage(message, row) : undefined,
      );
      if (accepted.length === 0) return resultsOf(refusals, []);
      const outcome = await (row.fifo ? this.#fifoWriter : this.#writer).write({
        account,
        targetId: row.id,
        targetName: queue,
        messages: accepted,
        idempotency:
          idempotencyKey === undefined
            ? undefined
            : { key: idempotencyKey, messageCount: messages.length, repeatableFor },
      });
      if (!outcome.repeated) this.#observer.sent(accepted.length);
      return resultsOf(refusals, outcome.messages);
    });
  }

  async idle(): Promise<void> {
    await Promise.all([this.#writer.idle(), this.#fifoWriter.idle()]);
  }
}
