import type { Database } from "@sluice/database";

import { FewAtOnce } from "../few-at-once.ts";
import { traceMessage, type Trace } from "./trace.ts";

/**
 * Traces messages, a few at a time: each may take seconds, and however many are asked for, sends and receives keep
 * their connections.
 */
export class Tracer {
  readonly #database: Database;
  readonly #turns = new FewAtOnce("traces", { running: 2, waiting: 100 });

  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws {SluiceError} `message_not_found`; `too_many_requests` when too many of the account wait already */
  async trace(account: string, messageId: string): Promise<Trace> {
    return await this.#turns.run(account, () => traceMessage(this.#database, account, messageId));
  }
}
