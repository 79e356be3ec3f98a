import type { Sql } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import type { Observer } from "../observer.ts";
import type { Queues } from "../queues/queues.ts";
import type { Payloads } from "../receive/payloads.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { cancelDelayed } from "./cancel-delayed.ts";

export interface CancellerOptions {
  sql: Sql;
  waits: LockWaits;
  payloads: Payloads;
  queues: Queues;
  observer: Observer;
}

/** Takes messages back before anybody could receive them. */
export class Canceller {
  readonly #options: CancellerOptions;

  constructor(options: CancellerOptions) {
    this.#options = options;
  }

  /** Takes a delayed message back. @throws {SluiceError} `queue_not_found`, `message_not_found` */
  async cancelDelayed(account: string, queueName: string, messageId: string): Promise<void> {
    const { queues, observer } = this.#options;
    const queue = await queues.get(account, queueName);
    if (!(await cancelDelayed(this.#options, queue, messageId))) {
      throw new SluiceError(
        "message_not_found",
        `no message "${messageId}" is delayed in queue "${queueName}"`,
      );
    }
    observer.cancelled(1);
  }
}
