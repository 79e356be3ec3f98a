import { FewAtOnce } from "../few-at-once.ts";
import type { Queues } from "../queues/queues.ts";
import { peek } from "./peek.ts";
import type { PeekContext, Peeked, PeekRequest } from "./peeked.ts";
import { peekFifo } from "./peek-fifo.ts";

/** Looks at the messages of queues, at a few queues at a time: each look may hold some ten MiB. */
export class Peeker {
  readonly #queues: Queues;
  readonly #context: PeekContext;
  readonly #turns = new FewAtOnce("peeks", { running: 4, waiting: 100 });

  constructor(queues: Queues, context: PeekContext) {
    this.#queues = queues;
    this.#context = context;
  }

  /** Looks at messages without receiving them. @throws {SluiceError} `queue_not_found`, `too_many_requests` */
  async peek(account: string, queueName: string, request: PeekRequest): Promise<Peeked> {
    const queue = await this.#queues.get(account, queueName);
    const look = queue.fifo ? peekFifo : peek;
    return await this.#turns.run(account, () => look(this.#context, queue, request));
  }
}
