import type { Database } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import { traceMessage, type Trace } from "./trace.ts";

/** Traces at once: each may take seconds, and takes a connection from the hot path. */
const MAX_RUNNING = 2;
const MAX_WAITING = 100;

/** Traces messages, a few at a time: however many are asked for, sends and receives keep their connections. */
export class Tracer {
  readonly #database: Database;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws {SluiceError} `message_not_found`; `too_many_requests` when too many wait already */
  async trace(account: string, messageId: string): Promise<Trace> {
    await this.#turn();
    try {
      return await traceMessage(this.#database, account, messageId);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < MAX_RUNNING) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length === MAX_WAITING) {
      throw new SluiceError(
        "too_many_requests",
        `${MAX_WAITING} traces wait for their turn already; retry later`,
      );
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
