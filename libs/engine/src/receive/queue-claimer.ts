import type { Sql } from "@sluice/database";

import type { Rounds } from "../rounds/rounds.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import { FifoClaims } from "./fifo-claims.ts";
import { LOOK_AHEAD } from "./find-visible.ts";
import { messagesIn, takeGroups, takeMessages } from "./hand-out.ts";
import { KnownEmpty, type Look } from "./known-empty.ts";
import type { QueueClaims } from "./queue-claims.ts";
import { ScanFloor } from "./scan-floor.ts";
import { StandardClaims } from "./standard-claims.ts";
import { isNoAttempt, type Waiter } from "./waiter.ts";

export interface QueueClaimerOptions {
  sql: Sql;
  waits: LockWaits;
  /** Claims of all queues of this process. */
  rounds: Rounds;
  fifo: boolean;
  queueId: string;
  account: string;
  name: string;
  /** Makes visible at once what was claimed for a waiter that is gone. */
  release: (slices: ClaimedSlice[]) => void;
  /** Told by a claim that found nothing in how many milliseconds there will be something. */
  due: (ms: number) => void;
  /** Told of messages that a claim moved to the dead-letter queue. */
  deadLettered: (letters: { queueId: string; messages: number }) => void;
  /** Told when something in the background failed; it is tried again. */
  failed: (what: string, error: unknown) => void;
}

/** Most messages one statement claims, however many receives it serves. */
const MAX_CLAIM = 2_000;

/**
 * The one claimer of a queue in this process: its statement serves every receive that is waiting.
 *
 * A waiter is *hungry* until a claim that counted it has found too little; then it is *parked* until a signal makes all
 * parked ones hungry again. So one publish costs one claim, however many long polls wait, and an empty queue costs
 * nothing, also when its long polls end and come again, and when they come back from what they have received. The
 * messages of one slice may go to several waiters: a handle names a bit.
 */
export class QueueClaimer {
  readonly #options: QueueClaimerOptions;
  #hungry: Waiter[] = [];
  #parked = new Set<Waiter>();
  #running: Promise<void> | undefined;
  /** Whether there is nothing to ask for. */
  readonly knownEmpty = new KnownEmpty();
  /** Where claims start; the waiting room looks for what is left behind it. */
  readonly floor = new ScanFloor();
  readonly #claims: QueueClaims;
  #lastAskedAt = performance.now();
  /** When the last statement that claims began. */
  #look: Look = { at: -Infinity, signals: 0 };

  constructor(options: QueueClaimerOptions) {
    this.#options = options;
    const { floor } = this;
    this.#claims = options.fifo
      ? new FifoClaims({ ...options, floor })
      : new StandardClaims({ ...options, floor });
  }

  get queueId(): string {
    return this.#options.queueId;
  }

  get account(): string {
    return this.#options.account;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Since when nobody has asked for anything, by the clock of this process in ms. */
  get idleSince(): number {
    return this.idle ? this.#lastAskedAt : Infinity;
  }

  /** Whether this is, or was, the queue of that name. */
  isNamed(account: string, name: string): boolean {
    return this.#options.account === account && this.#options.name === name;
  }

  get idle(): boolean {
    return !this.#running && this.#hungry.length === 0 && this.#parked.size === 0;
  }

  /** Whether somebody waits, or may come back to wait for what its claims do not know to become visible. */
  get active(): boolean {
    if (this.#parked.size > 0) return true;
    return performance.now() - this.#lastAskedAt < LOOK_AHEAD;
  }

  /** This many messages of the queue were acknowledged here. */
  acknowledged(messages: number): void {
    this.#claims.acknowledged(messages);
  }

  add(waiter: Waiter): void {
    this.#lastAskedAt = performance.now();
    if (waiter.parked && waiter.attemptId === undefined && this.knownEmpty.isSo && !this.#running) {
      this.#parked.add(waiter);
      return;
    }
    this.#hungry.push(waiter);
    this.#start();
  }

  /** The queue is not what it was: what could not be received of it may be visible now. */
  forget(): void {
    this.floor.forget();
    this.knownEmpty.forget();
  }

  /** Ends a waiter that nobody has served yet; false when it was settled or is being served. */
  remove(waiter: Waiter): boolean {
    if (this.#parked.delete(waiter)) return true;
    const index = this.#hungry.indexOf(waiter);
    if (index >= 0) this.#hungry.splice(index, 1);
    return index >= 0;
  }

  /** Its wait is over: answers with nothing, or with what the claim that is under way finds for it. */
  endWait(waiter: Waiter): void {
    waiter.parked = false;
    if (this.#parked.delete(waiter)) waiter.settle([]);
  }

  /**
   * The queue may have visible messages: every parked waiter asks again, and so will those whose claim is under way.
   */
  signal(): void {
    this.knownEmpty.signal();
    this.ask();
  }

  /** Every parked waiter asks again; false where there is none. */
  ask(): boolean {
    if (this.#parked.size === 0) return false;
    this.#hungry.push(...this.#parked);
    this.#parked.clear();
    this.#start();
    return true;
  }

  /** Answers with nothing whoever is parked; whoever is hungry gets one more claim, but waits no longer. */
  endWaiting(): void {
    for (const waiter of this.#hungry) waiter.parked = false;
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const waiter of parked) waiter.settle([]);
  }

  /** Rejects everybody who waits. */
  fail(error: Error): void {
    const waiters = [...this.#hungry, ...this.#parked];
    this.#hungry = [];
    this.#parked.clear();
    for (const waiter of waiters) waiter.settle(error);
  }

  /** Resolves when no claim is under way, nor what one has left to be done. */
  async ended(): Promise<void> {
    while (this.#running) await this.#running;
    await this.#claims.ended();
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#hungry.length > 0) this.#start();
    });
  }

  async #run(): Promise<void> {
    // Receives and signals of the same tick share the first claim.
    await Promise.resolve();
    while (this.#hungry.length > 0) {
      const asking = [...this.#hungry];
      const group = this.#nextGroup();
      const wanted = Math.min(
        MAX_CLAIM,
        group.reduce((sum, waiter) => sum + waiter.max, 0),
      );
      this.#look = this.knownEmpty.look();
      const began = this.#look.at;
      try {
        const {
          slices: claimed,
          dueIn,
          tookAll = false,
          // A claim is content with half of what was wanted: more may be visible for whoever it leaves out.
          more = 2 * messagesIn(claimed) >= wanted,
          isBlind = false,
        } = await this.#claims.claim({
          group,
          wanted,
          begins: () => (this.#look = this.knownEmpty.look()),
          isWaitedFor: () => group.some((waiter) => this.#hungry.includes(waiter)),
        });
        if (dueIn !== undefined) this.#options.due(dueIn);
        // A FIFO queue at its limit in flight has nothing either, but not for long.
        else if (this.#leftNothing(claimed, tookAll)) this.knownEmpty.sawNothing(this.#look);
        const signalled = this.knownEmpty.signalledSince(this.#look);
        // Who could not look steps back: there may be something for the others.
        const asksAgain = (waiter: Waiter) => more || (signalled && waiter.parked && !isBlind);
        this.#distribute(claimed, group, { asksAgain, began });
        // Nothing was there for these, so there is nothing for the others that asked before the claim either; but a
        // repeat gets what it had.
        if (claimed.length === 0 && !signalled && !isBlind)
          this.#distribute([], asking.filter(isNoAttempt), { asksAgain: () => false, began });
      } catch (error) {
        // Also those that have waited: what the claim took may be theirs, and nobody would know of that receive.
        for (const waiter of group) if (this.remove(waiter)) waiter.settle(error as Error);
      }
    }
  }

  /** What becomes visible soon is not known from a claim that found something, but the waiting room looks for it. */
  #leftNothing(claimed: readonly ClaimedSlice[], tookAll: boolean): boolean {
    if (this.#options.fifo) return false;
    if (claimed.length === 0) return true;
    return tookAll && this.knownEmpty.isWatched;
  }

  /**
   * Hungry waiters that one statement can serve: with the same visibility timeout as the first one, and no attempt id.
   */
  #nextGroup(): Waiter[] {
    const first = this.#hungry[0];
    if (first?.attemptId !== undefined) return [first];
    const timeout = first?.visibilityTimeout;
    const group: Waiter[] = [];
    let wanted = 0;
    for (const waiter of this.#hungry) {
      if (waiter.visibilityTimeout !== timeout || !isNoAttempt(waiter)) continue;
      group.push(waiter);
      wanted += waiter.max;
      if (wanted >= MAX_CLAIM) break;
    }
    return group;
  }

  #distribute(
    claimed: ClaimedSlice[],
    group: Waiter[],
    { asksAgain, began }: { asksAgain: (waiter: Waiter) => boolean; began: number },
  ): void {
    const stock = [...claimed];
    const take = this.#options.fifo ? takeGroups : takeMessages;
    for (const waiter of group) {
      // It keeps its place for the next claim.
      if (stock.length === 0 && asksAgain(waiter)) continue;
      // It may have gone away while the claim was under way.
      if (!this.remove(waiter)) continue;
      const taken = take(stock, waiter.attemptId === undefined ? waiter.max : waiter.asked);
      if (taken.length > 0) waiter.settle(taken, began);
      else if (waiter.parked) this.#parked.add(waiter);
      else waiter.settle([]);
    }
    if (stock.length > 0) this.#options.release(stock);
  }
}
