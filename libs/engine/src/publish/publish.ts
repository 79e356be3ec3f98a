import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { LRUCache } from "lru-cache";

import type { Directory } from "../directory/directory.ts";
import { topicNotFound, type EntryError } from "../errors.ts";
import { acceptMessages, resultsOf, type MessageInput } from "../message/accept-messages.ts";
import { fifoMessage } from "../message/fifo-message.ts";
import type { Observer } from "../observer.ts";
import type { Payloads } from "../receive/payloads.ts";
import { without, type Rounds } from "../rounds/rounds.ts";
import type { Topic } from "../topics/topics.ts";
import type { BatchIds } from "../write/batch-ids.ts";
import {
  BatchWriter,
  lengthOf,
  targetsOf,
  type BatchWriterOptions,
} from "../write/batch-writer.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import type { StoredMessage } from "../write/stored-call.ts";
import { insertPublished } from "./insert-published.ts";
import { insertPublishedFifo } from "./insert-published-fifo.ts";

export interface WriteOptions {
  /** Repeats with the same key within 5 minutes store nothing again and get the same answer. */
  idempotencyKey?: string | undefined;
  /** Seconds for which whoever recorded the call could make it again: those 5 minutes count from then. Default 0. */
  repeatableFor?: number | undefined;
}

/** What became of one message of a call. */
export type WriteResult = StoredMessage | { error: EntryError };

/** Topics whose queues are remembered. */
const MAX_TOPICS = 10_000;

/** Publishes to topics: stores the messages, answers after the commit, and tells the queues or the dispatchers of them. */
export class Publisher {
  readonly #topics: Directory<Topic>;
  readonly #writer: BatchWriter;
  /** Of FIFO topics: a round of them waits for the locks of its topics. */
  readonly #fifoWriter: BatchWriter;
  readonly #observer: Observer;
  /** Where the last publish of a topic went that fanned itself out: receives that wait for these queues may wait for the next one. */
  readonly #queuesOf = new LRUCache<string, readonly string[]>({ max: MAX_TOPICS });

  constructor(options: {
    sql: Sql;
    waits: LockWaits;
    rounds: Rounds;
    bus: Bus;
    payloads: Payloads;
    batchIds: BatchIds;
    topics: Directory<Topic>;
    observer: Observer;
    /** Most subscriptions of a topic without filters that its publishes fan out themselves. */
    directQueues: number;
  }) {
    const { sql, waits, rounds, bus, payloads, batchIds, topics, observer, directQueues } = options;
    this.#topics = topics;
    this.#observer = observer;
    const common: Omit<BatchWriterOptions, "insert"> = {
      sql,
      kind: "topic",
      payloads,
      batchIds,
      notFound: (name) => topicNotFound(name),
    };
    this.#writer = new BatchWriter({
      ...common,
      insert: async (batches, keys) => {
        const { result, emptied } = await rounds.store({
          queueIds: [
            ...new Set(targetsOf(batches).flatMap((topicId) => this.#queuesOf.get(topicId) ?? [])),
          ],
          length: lengthOf(batches),
          statement: (hot) => insertPublished(hot, batches, keys, directQueues),
        });
        const { stored, waiting, queuesOf, deliveries } = result;
        for (const topicId of targetsOf(batches)) {
          const queueIds = queuesOf.get(topicId);
          if (queueIds) this.#queuesOf.set(topicId, queueIds);
          else this.#queuesOf.delete(topicId);
        }
        return {
          stored,
          announce: () => {
            if (waiting.length > 0) bus.announceBatches(waiting);
            if (queuesOf.size === 0) return;
            bus.signalQueues(without([...queuesOf.values()].flat(), emptied));
            observer.fannedOut(stored.length - waiting.length, deliveries);
          },
        };
      },
    });
    this.#fifoWriter = new BatchWriter({
      ...common,
      waits,
      insert: async (batches, keys, lockTimeout) => {
        const stored = await insertPublishedFifo(sql, batches, keys, lockTimeout);
        return {
          stored,
          announce: () => {
            bus.announceBatches([...stored.keys()]);
          },
        };
      },
    });
  }

  /**
   * One result a message, in order. A message that breaks a rule is refused alone.
   * @throws {SluiceError} `topic_not_found`, `idempotency_key_reused`, `too_many_requests`, `unavailable`
   */
  async publish(
    account: string,
    topic: string,
    messages: readonly MessageInput[],
    { idempotencyKey, repeatableFor = 0 }: WriteOptions = {},
  ): Promise<WriteResult[]> {
    return await this.#topics.use(account, topic, async (row) => {
      const { messages: accepted, refusals } = acceptMessages(
        messages,
        row.maxMessageSize,
        row.fifo ? (message) => fifoMessage(message, row) : undefined,
      );
      if (accepted.length === 0) return resultsOf(refusals, []);
      const outcome = await (row.fifo ? this.#fifoWriter : this.#writer).write({
        account,
        targetId: row.id,
        targetName: topic,
        messages: accepted,
        idempotency:
          idempotencyKey === undefined
            ? undefined
            : { key: idempotencyKey, messageCount: messages.length, repeatableFor },
      });
      if (!outcome.repeated) this.#observer.published(accepted.length);
      return resultsOf(refusals, outcome.messages);
    });
  }

  async idle(): Promise<void> {
    await Promise.all([this.#writer.idle(), this.#fifoWriter.idle()]);
  }
}
