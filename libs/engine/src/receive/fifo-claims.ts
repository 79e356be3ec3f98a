import { claimFifo, type FifoClaim } from "./claim-fifo.ts";
import { countInFlightFifo } from "./count-in-flight.ts";
import { byGroup } from "./fifo-slice.ts";
import { messagesIn } from "./hand-out.ts";
import { InFlight } from "./in-flight.ts";
import type { ClaimCall, QueueClaims, QueueClaimsOptions } from "./queue-claims.ts";
import type { Waiter } from "./waiter.ts";

const NOTHING: FifoClaim = { slices: [], deadLetters: undefined, dueIn: undefined, more: false };

/** Claims of a FIFO queue: group by group. */
export class FifoClaims implements QueueClaims {
  readonly #options: QueueClaimsOptions;
  readonly #inFlight: InFlight;
  /** Messages a group held lately: how many groups to look at for a given number of messages. */
  #density = 1;

  constructor(options: QueueClaimsOptions) {
    this.#options = options;
    this.#inFlight = new InFlight(() => countInFlightFifo(options.sql, options));
  }

  acknowledged(messages: number): void {
    this.#inFlight.acknowledged(messages);
  }

  ended(): Promise<void> {
    return Promise.resolve();
  }

  async claim({ group }: ClaimCall): Promise<FifoClaim> {
    const { queueId, account, floor, deadLettered } = this.#options;
    // SQS answers a FIFO queue at its limit with nothing, not with an error.
    if ((await this.#inFlight.room()) === 0) return NOTHING;
    const from = floor.start;
    const found = await claimFifo(this.#options, {
      queueId,
      account,
      maxes: group.map((waiter) => waiter.max),
      asked: group[0]?.asked,
      visibilityTimeout: group[0]?.visibilityTimeout,
      attemptId: group[0]?.attemptId,
      isWaiting: group[0]?.parked,
      from,
      density: this.#density,
    });
    const messages = messagesIn(found.slices);
    const groups = byGroup(found.slices).length;
    if (groups > 0) this.#groupsHad(messages / groups, group);
    if (found.scan) floor.advance(found.scan, groups, from);
    if (found.deadLetters) deadLettered(found.deadLetters);
    this.#inFlight.claimed(messages, false);
    return found;
  }

  /** Groups that had as many messages as a receive takes may have had more. */
  #groupsHad(messages: number, group: readonly Waiter[]): void {
    const most = Math.max(...group.map((waiter) => waiter.max));
    this.#density = messages < most ? messages : Math.max(messages, this.#density);
  }
}
