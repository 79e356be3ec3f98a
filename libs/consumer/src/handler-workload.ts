import type { PayloadFormat, SluiceError } from "@sluice/client";
import { decode } from "./decode.ts";
import type { HeldMessage } from "./held-message.ts";
import type { Outcomes } from "./outcomes.ts";
import type { ReceivedMessage } from "./received-message.ts";
import { Standstill } from "./standstill.ts";
import type { Run, Workload } from "./workload.ts";

/** Handles one message; returning acknowledges it, throwing makes it visible again. */
export type Handler<Payload> = (message: ReceivedMessage<Payload>) => unknown;

export interface HandlerLimits {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly batchSize: number;
  readonly receivers: number;
}

/**
 * Handles up to `concurrency` messages at once and keeps up to `prefetch` more at hand, in the order received.
 *
 * Messages of one group of a FIFO queue are handled one after the other. When one of them fails, or is given back,
 * those after it are given back as well, unhandled: they come again in their order.
 *
 * When others may have a message before its handler has begun, because handlers keep the process busy for longer than
 * messages are hidden, say, no more than one is taken at a time, and then one more for each that is handled in time.
 * Each receive counts: otherwise most messages would go to the dead-letter queue without having been handled once.
 *
 * When all handlers are busy and none has ended for a whole visibility timeout, what was fetched ahead is given back,
 * for others to have, and nothing is fetched ahead any more, but for one more message for each that is handled in time.
 * What comes after a message of its group that is being handled nobody else could have: that stays.
 */
export class HandlerWorkload<Payload> implements Workload {
  readonly #handler: Handler<Payload>;
  readonly #format: PayloadFormat<never, unknown>;
  readonly #outcomes: Outcomes;
  readonly #standstill: Standstill;
  readonly #concurrency: number;
  readonly #capacity: number;
  readonly #share: number;
  readonly #threshold: number;
  /** How many are at hand at most, those that are handled included. */
  #most: number;
  #waiting: HeldMessage[] = [];
  /** Groups of a FIFO queue that are being handled. */
  readonly #busy = new Set<string>();
  #running = 0;
  #reserved = 0;
  #stopped = false;
  #wanting: ((room: number) => void)[] = [];
  #idle: (() => void)[] = [];

  constructor(
    handler: Handler<Payload>,
    {
      limits,
      format,
      run: { outcomes, visibilityTimeout },
    }: { limits: HandlerLimits; format: PayloadFormat<never, unknown>; run: Run },
  ) {
    this.#handler = handler;
    this.#format = format;
    this.#outcomes = outcomes;
    this.#standstill = new Standstill(visibilityTimeout * 1000, () => this.#yieldIfStuck());
    this.#concurrency = limits.concurrency;
    this.#capacity = limits.concurrency + limits.prefetch;
    this.#most = this.#capacity;
    this.#share = Math.min(limits.batchSize, Math.ceil(this.#capacity / limits.receivers));
    this.#threshold = Math.ceil(this.#share / 2);
  }

  room(): number | Promise<number> {
    if (this.#stopped) return 0;
    if (this.#wanted) return this.#reserve();
    return new Promise((resolve) => this.#wanting.push(resolve));
  }

  take(messages: HeldMessage[], reserved: number): void {
    this.#reserved -= reserved;
    this.#waiting.push(...messages);
    this.#advance();
    this.#yieldIfStuck(); // of a receive that has been under way since before
  }

  stop(): HeldMessage[] {
    this.#stopped = true;
    this.#standstill.stop();
    for (const resolve of this.#wanting) resolve(0);
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }

  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  get #free(): number {
    return this.#most - this.#running - this.#places - this.#reserved;
  }

  /**
   * How many of those that wait could be handled at once. The others of a group take no place from other groups; how
   * many they are is bounded by that a group is received again only when all of it is settled.
   */
  get #places(): number {
    // A queue has groups, or it has not.
    if (this.#waiting[0]?.lane === undefined) return this.#waiting.length;
    const lanes = new Set(this.#waiting.map(({ lane }) => lane));
    return [...lanes].filter((lane) => !this.#isBusy(lane)).length;
  }

  /**
   * Asking for each place as it becomes free would be a call a message, so half a share is worth a receive;
   * less is when a handler has nothing to do (whatever waits has to) and no receive is under way.
   */
  get #wanted(): boolean {
    const free = this.#free;
    const starving = this.#running < this.#concurrency && free > 0;
    return free >= this.#threshold || (starving && this.#reserved === 0);
  }

  #isBusy(lane: string | undefined): boolean {
    return lane !== undefined && this.#busy.has(lane);
  }

  #reserve(): number {
    const room = Math.min(this.#free, this.#share);
    this.#reserved += room;
    return room;
  }

  #advance(): void {
    while (this.#running < this.#concurrency) {
      const message = this.#next();
      if (message === undefined) break;
      this.#running++;
      void this.#handle(message);
    }
    while (this.#wanting.length > 0 && this.#wanted) this.#wanting.shift()!(this.#reserve());
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** The first message that may be handled now. */
  #next(): HeldMessage | undefined {
    const index = this.#waiting.findIndex(({ lane }) => !this.#isBusy(lane));
    if (index === 0) return this.#waiting.shift();
    return index < 0 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  async #handle(message: HeldMessage): Promise<void> {
    const { lane } = message;
    this.#standstill.moved();
    if (lane !== undefined) this.#busy.add(lane);
    let succeeded = false;
    try {
      if (this.#outcomes.isHandled(message)) succeeded = !message.lost;
      else if (await this.#isReady(message)) {
        await this.#handler(message as ReceivedMessage<Payload>);
        this.#outcomes.succeeded(message);
        succeeded = !message.released && !message.lost;
      }
    } catch (error) {
      this.#outcomes.failed(error, [message]);
    } finally {
      if (lane !== undefined) this.#leave(lane, succeeded);
      if (this.#most < this.#capacity && this.#isInTime(message)) this.#most++;
      this.#running--;
      this.#advance();
    }
  }

  /** Whether others could not have it before its handler was done with it, nor was what waits given back for it. */
  #isInTime({ lease, settledAt = performance.now() }: HeldMessage): boolean {
    return !this.#isStuck && lease.heldUntil > settledAt;
  }

  get #isStuck(): boolean {
    return this.#running >= this.#concurrency && this.#standstill.lasts;
  }

  #leave(lane: string, succeeded: boolean): void {
    this.#busy.delete(lane);
    if (succeeded) return;
    this.#outcomes.unhandled(this.#waiting.filter((message) => message.lane === lane));
    this.#waiting = this.#waiting.filter((message) => message.lane !== lane);
  }

  /** Leaves to others what they can have, when all handlers have been busy for long. */
  #yieldIfStuck(): void {
    if (!this.#isStuck) return;
    this.#most = Math.min(this.#most, this.#concurrency);
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ lane }) => this.#isBusy(lane));
    this.#outcomes.unhandled(waiting.filter(({ lane }) => !this.#isBusy(lane)));
  }

  /** Whether it could be read and is still to be handled. What others may have by now is left to them. */
  async #isReady(message: HeldMessage): Promise<boolean> {
    try {
      await decode(this.#format, message);
    } catch (error) {
      this.#outcomes.undecodable([{ error: error as SluiceError, message }]);
      return false;
    }
    // Only now: a schema may take its time, and so may handlers that began before this one.
    const isSafe = message.isSafe;
    if (isSafe && !this.#stopped) return true;
    if (!isSafe) this.#most = 1;
    this.#outcomes.unhandled([message]);
    return false;
  }
}
