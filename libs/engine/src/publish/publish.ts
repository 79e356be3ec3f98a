import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { LRUCache } from "lru-cache";

import type { Directory } from "../directory/directory.ts";
import { topicNotFound } from "../errors.ts";
import type { MessageInput } from "../message/message.ts";
import type { Observer } from "../observer.ts";
import type { Payloads } from "../receive/payloads.ts";
import type { Stored } from "../rounds/apart.ts";
import { without, type Rounds } from "../rounds/rounds.ts";
import type { Topic } from "../topics/topics.ts";
import type { BatchIds } from "../write/batch-ids.ts";
import { lengthOf, targetsOf, type Inserted, type NewBatch } from "../write/batch-writer.ts";
import type { IdempotencyKey } from "../write/idempotency-keys.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { MessageWriter, type WriteOptions, type WriteResult } from "../write/message-writer.ts";
import { groupsIn } from "../write/parts.ts";
import { insertPublished, type Published } from "./insert-published.ts";
import { insertPublishedFifo } from "./insert-published-fifo.ts";

/** Topics whose queues are remembered. */
const MAX_TOPICS = 10_000;
/**
 * Slices that a round writes itself, for all who share it. Messages with a group each are a slice each in every queue:
 * 50 calls of 1,000 to 16 queues took longer than a statement may, were refused all together, and came again.
 */
const MAX_DIRECT_SLICES = 32_768;

export interface PublisherOptions {
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
}

/**
 * Publishes to topics: stores the messages, answers after the commit, and tells the queues or the dispatchers of them.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #messages: MessageWriter<Topic>;
  /**
   * Where the last publish of a topic went that fanned itself out: receives that wait for these queues may wait for the
   * next one.
   */
  readonly #queuesOf = new LRUCache<string, readonly string[]>({ max: MAX_TOPICS });

  constructor(options: PublisherOptions) {
    const { sql, waits, payloads, batchIds, topics, observer } = options;
    this.#options = options;
    this.#messages = new MessageWriter({
      sql,
      kind: "topic",
      payloads,
      batchIds,
      waits,
      directory: topics,
      notFound: topicNotFound,
      insert: (batches, keys) => this.#insert(batches, keys),
      insertFifo: (batches, keys, lockTimeout) => this.#insertFifo(batches, keys, lockTimeout),
      stored: (messages) => {
        observer.published(messages);
      },
    });
  }

  /** See {@link MessageWriter.write}. */
  publish(
    account: string,
    topic: string,
    messages: readonly MessageInput[],
    options?: WriteOptions,
  ): Promise<WriteResult[]> {
    return this.#messages.write(account, topic, messages, options);
  }

  idle(): Promise<void> {
    return this.#messages.idle();
  }

  async #insert(batches: NewBatch[], keys: IdempotencyKey[]): Promise<Inserted> {
    const { bus, observer } = this.#options;
    const { result, emptied } = await this.#store(batches, keys);
    const { stored, waiting, queuesOf, deliveries } = result;
    return {
      stored,
      announce: () => {
        if (waiting.length > 0) bus.announceBatches(waiting);
        if (queuesOf.size === 0) return;
        bus.signalQueues(without([...queuesOf.values()].flat(), emptied));
        observer.fannedOut(stored.length - waiting.length, deliveries);
      },
    };
  }

  async #store(batches: NewBatch[], keys: IdempotencyKey[]): Promise<Stored<Published>> {
    const { rounds, directQueues } = this.#options;
    const isDirect = this.#slicesOf(batches) <= MAX_DIRECT_SLICES;
    try {
      const stored = await rounds.store({
        queueIds: isDirect ? this.#queuesOfAll(batches) : [],
        length: lengthOf(batches),
        statement: (hot) => insertPublished(hot, batches, keys, isDirect ? directQueues : 0),
      });
      if (isDirect) this.#remember(batches, stored.result.queuesOf);
      return stored;
    } catch (error) {
      // There may be more queues by now than are known, and then it was too much.
      this.#remember(batches, new Map());
      throw error;
    }
  }

  /** As far as the queues of their topics are known; else as many as there may be. */
  #slicesOf(batches: readonly NewBatch[]): number {
    const { directQueues } = this.#options;
    const queues = ({ targetId }: NewBatch) => this.#queuesOf.get(targetId)?.length ?? directQueues;
    return batches.reduce((sum, batch) => sum + groupsIn(batch) * queues(batch), 0);
  }

  #queuesOfAll(batches: readonly NewBatch[]): string[] {
    const known = targetsOf(batches).flatMap((topicId) => this.#queuesOf.get(topicId) ?? []);
    return [...new Set(known)];
  }

  #remember(batches: readonly NewBatch[], queuesOf: Published["queuesOf"]): void {
    for (const topicId of targetsOf(batches)) {
      const queueIds = queuesOf.get(topicId);
      if (queueIds) this.#queuesOf.set(topicId, queueIds);
      else this.#queuesOf.delete(topicId);
    }
  }

  async #insertFifo(
    batches: NewBatch[],
    keys: IdempotencyKey[],
    lockTimeout: string | undefined,
  ): Promise<Inserted> {
    const { sql, bus } = this.#options;
    const stored = await insertPublishedFifo(sql, batches, keys, lockTimeout);
    return {
      stored,
      announce: () => {
        bus.announceBatches([...stored.keys()]);
      },
    };
  }
}
