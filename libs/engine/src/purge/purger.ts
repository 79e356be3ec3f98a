import type { Database } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import type { Observer } from "../observer.ts";
import type { Queues } from "../queues/queues.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { notePurge } from "./note-purge.ts";
import { purge } from "./purge.ts";
import { lastSequence, purgeFifo } from "./purge-fifo.ts";

export interface PurgerOptions {
  database: Database;
  waits: LockWaits;
  queues: Queues;
  observer: Observer;
  /** Seconds that must have passed since the last purge of a queue, where a call does not say. */
  guard: number;
}

/**
 * Purges queues, over the connection of the clean-up: a large one takes its time. What is sent while it waits for that
 * survives, so the moment that counts is looked up over others: whoever calls may have gone long before its turn.
 */
export class Purger {
  readonly #options: PurgerOptions;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  /**
   * Deletes every message of a queue, and tells how many.
   *
   * @param guard - Seconds that must have passed since the last purge; default as configured.
   * @throws {SluiceError} `queue_not_found`, `purge_in_progress`
   */
  async purge(account: string, queueName: string, guard = this.#options.guard): Promise<number> {
    const { database, waits, queues, observer } = this.#options;
    const queue = await queues.get(account, queueName);
    const last = queue.fifo
      ? await waits.run((lockTimeout) => lastSequence(database.sql, queue, lockTimeout))
      : undefined;
    const sentUntil = await notePurge(database.control, queue, guard);
    if (sentUntil === undefined) {
      throw new SluiceError(
        "purge_in_progress",
        `queue "${queueName}" was purged less than ${guard} seconds ago; wait before you purge it again`,
      );
    }
    const { maintenance } = database;
    const messages =
      last === undefined
        ? await purge(maintenance, queue, sentUntil)
        : await purgeFifo(maintenance, queue, last);
    observer.purged(messages);
    return messages;
  }
}
