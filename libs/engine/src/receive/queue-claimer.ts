import type { Sql } from "@sluice/database";

import { overLimit } from "../errors.ts";
import { claimFifo, type FifoClaim } from "./claim-fifo.ts";
import { byGroup } from "./fifo-slice.ts";
import {
  claimQuiet,
  type Claim,
  type ClaimedSlice,
  type ClaimRequest,
  type QuietRequest,
} from "./claim.ts";
import { LOOK_AHEAD } from "./find-visible.ts";
import { countInFlight, countInFlightFifo } from "./count-in-flight.ts";
import { InFlight, MAX_IN_FLIGHT } from "./in-flight.ts";
import { KnownEmpty, type Look } from "./known-empty.ts";
import { messagesIn, takeGroups, takeMessages } from "./hand-out.ts";
import { ScanFloor } from "./scan-floor.ts";
import type { Rounds } from "../rounds/rounds.ts";

/** A receive that waits for messages of one queue. */
export interface Waiter {
  max: number;
  /** As much as the repeat of an attempt may get. */
  asked: number;
  /** Of a FIFO queue: it is claimed for alone, under this id. */
  attemptId?: string | undefined;
  visibilityTimeout: number | undefined;
  /** Called once: with what it got, with nothing when its wait is over, or with an error. */
  settle: (result: ClaimedSlice[] | Error) => void;
  /** Whether an empty claim leaves it waiting for the next signal. */
  parked: boolean;
}

export interface QueueClaimerOptions {
  sql: Sql;
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
}

const NOTHING: FifoClaim = { slices: [], deadLetters: undefined, dueIn: undefined, more: false };
/** Most messages one statement claims, however many receives it serves. */
const MAX_CLAIM = 2_000;
const MAX_SLICES = 1_000;
/**
 * After a look at dead letters only, the next one is at so many times more slices: a receive of one message passes 1,000 of them in
 * six statements, and not 500. Not at as many as it may be at once: other claims skip them all, also those that it does not need.
 */
const MORE_LETTERS = 4;
/** Statements of one claim that may meet dead letters. Of 1,000 each takes 23 ms. */
const MAX_CLEARINGS = 20;
/** How long quiet tenants are taken to have nothing after a look at all of them found nothing, in ms. */
const ALL_QUIET = 20;

/**
 * The one claimer of a queue in this process: its statement serves every receive that is waiting.
 *
 * A waiter is *hungry* until a claim that counted it has found too little; then it is *parked* until a signal makes all
 * parked ones hungry again. So one publish costs one claim, however many long polls wait, and an empty queue costs
 * nothing, also when its long polls end and come again, and when they come back from what they have received. The messages
 * of one slice may go to several waiters: a handle names a bit.
 */
export class QueueClaimer {
  readonly #options: QueueClaimerOptions;
  #hungry: Waiter[] = [];
  #parked = new Set<Waiter>();
  #running: Promise<void> | undefined;
  /** Whether there is nothing to ask for. */
  readonly knownEmpty = new KnownEmpty();
  /** Messages a slice (of a FIFO queue: a group) held lately: how many to look at for a given number of messages. */
  #density = 1;
  /** Where claims start; the waiting room looks for what is left behind it. */
  readonly floor = new ScanFloor();
  readonly #inFlight: InFlight;
  /** The group after which to go on looking for quiet tenants, and from when on that is worth it. */
  #quiet = { after: "", from: 0 };
  #lastAskedAt = performance.now();
  /** When the last statement that claims began. */
  #look: Look = { at: -Infinity, signals: 0 };

  constructor(options: QueueClaimerOptions) {
    this.#options = options;
    this.#inFlight = new InFlight(() =>
      options.fifo ? countInFlightFifo(options.sql, options) : countInFlight(options.sql, options),
    );
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
    this.#inFlight.acknowledged(messages);
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

  /** The queue may have visible messages: every parked waiter asks again, and so will those whose claim is under way. */
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

  /** Resolves when no claim is under way. */
  async ended(): Promise<void> {
    while (this.#running) await this.#running;
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
      try {
        const {
          slices: claimed,
          dueIn,
          tookAll = false,
          // A claim is content with half of what was wanted: more may be visible for whoever it leaves out.
          more = 2 * messagesIn(claimed) >= wanted,
        } = this.#options.fifo ? await this.#claimFifo(group) : await this.#claim(group, wanted);
        if (dueIn !== undefined) this.#options.due(dueIn);
        // A FIFO queue at its limit in flight has nothing either, but not for long.
        else if (this.#leftNothing(claimed, tookAll)) this.knownEmpty.sawNothing(this.#look);
        const signalled = this.knownEmpty.signalledSince(this.#look);
        this.#distribute(claimed, group, (waiter) => more || (signalled && waiter.parked));
        // Nothing was there for these, so there is nothing for the others that asked before the claim either; but a repeat gets what it had.
        if (claimed.length === 0 && !signalled)
          this.#distribute([], asking.filter(isNoAttempt), () => false);
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

  /** Hungry waiters that one statement can serve: with the same visibility timeout as the first one, and no attempt id. */
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

  async #claimFifo(group: readonly Waiter[]): Promise<FifoClaim> {
    const { sql, queueId, account, deadLettered } = this.#options;
    // SQS answers a FIFO queue at its limit with nothing, not with an error.
    if ((await this.#inFlight.room()) === 0) return NOTHING;
    const from = this.floor.start;
    const found = await claimFifo(sql, {
      queueId,
      account,
      maxes: group.map((waiter) => waiter.max),
      asked: group[0]?.asked,
      visibilityTimeout: group[0]?.visibilityTimeout,
      attemptId: group[0]?.attemptId,
      from,
      density: this.#density,
    });
    const messages = messagesIn(found.slices);
    const groups = byGroup(found.slices).length;
    if (groups > 0) this.#groupsHad(messages / groups, group);
    if (found.scan) this.floor.advance(found.scan, groups, from);
    if (found.deadLetters) deadLettered(found.deadLetters);
    this.#inFlight.claimed(messages, false);
    return found;
  }

  /** Groups that had as many messages as a receive takes may have had more. */
  #groupsHad(messages: number, group: readonly Waiter[]): void {
    const most = Math.max(...group.map((waiter) => waiter.max));
    this.#density = messages < most ? messages : Math.max(messages, this.#density);
  }

  async #claim(group: readonly Waiter[], wanted: number): Promise<Claim & { more?: undefined }> {
    const { queueId, account, name } = this.#options;
    const visibilityTimeout = group[0]?.visibilityTimeout;
    const room = Math.min(wanted, await this.#inFlight.room());
    if (room === 0) throw overLimit(name, MAX_IN_FLIGHT);
    const quiet = await this.#claimQuiet(room, visibilityTimeout);
    const claimed = quiet.slices;
    let { hidesNothing, dueIn, tookAll } = quiet;
    let got = messagesIn(claimed);
    let least = 0;
    // Where slices are sparser than expected, the next statement looks at more of them. It would claim once more what is visible again.
    for (let round = 1; !hidesNothing && (got === 0 || got * 2 < room); round += 1) {
      const max = room - got;
      const slices = Math.max(least, this.#slicesFor(max));
      const from = this.floor.start;
      const found = await this.#claimOnce(
        { queueId, account, max, slices, visibilityTimeout, from },
        got > 0,
      );
      if (got === 0) dueIn = found.dueIn;
      ({ hidesNothing, tookAll } = found);
      claimed.push(...found.slices);
      got += messagesIn(found.slices);
      if (found.scan) this.floor.advance(found.scan, found.slices.length, from);
      if (found.onlyDeadLetters) least = Math.min(MAX_SLICES, slices * MORE_LETTERS);
      if (found.deadLetters) {
        // They took the places of slices that are still to be looked at: by the next claim, where that takes too long or nobody is there for them.
        if (round < MAX_CLEARINGS && this.#isWaitedFor(group)) continue;
        if (got === 0) dueIn = 0;
        break;
      }
      // So do those that have to stay where they are.
      if (found.onlyDeadLetters && slices < least) continue;
      if (found.slices.length < slices - 1) break;
    }
    return { slices: claimed, deadLetters: undefined, dueIn, tookAll };
  }

  /** Whether one of them has not gone away since its claim began. */
  #isWaitedFor(group: readonly Waiter[]): boolean {
    return group.some((waiter) => this.#hungry.includes(waiter));
  }

  /**
   * While a tenant is noisy, all others go first. What this leaves of the room is filled in the order of the queue, so
   * a noisy tenant is not held back where nobody else waits.
   */
  async #claimQuiet(max: number, visibilityTimeout: number | undefined): Promise<Claim> {
    const { noisy } = this.#inFlight;
    if (noisy.length === 0 || performance.now() < this.#quiet.from)
      return { slices: [], deadLetters: undefined, dueIn: undefined };
    const { queueId, account } = this.#options;
    const { after } = this.#quiet;
    const found = await this.#claimOnce(
      {
        queueId,
        account,
        max,
        slices: this.#slicesFor(max),
        visibilityTimeout,
        from: this.floor.start,
        quiet: { noisy, after },
      },
      false,
    );
    const sawAll = after === "" && found.nextAfter === "";
    const nothing = found.slices.length === 0 && !found.deadLetters;
    this.#quiet = {
      after: found.nextAfter ?? "",
      from: sawAll && nothing ? performance.now() + ALL_QUIET : 0,
    };
    return found;
  }

  #slicesFor(messages: number): number {
    return Math.min(MAX_SLICES, Math.ceil(messages / this.#density) + 1);
  }

  async #claimOnce(
    request: ClaimRequest & { quiet?: QuietRequest },
    isContinued: boolean,
  ): Promise<Claim> {
    const { sql, rounds } = this.#options;
    const { quiet } = request;
    try {
      const found = await (quiet
        ? claimQuiet(sql, { ...request, quiet })
        : rounds.claim(request, () => {
            this.#look = this.knownEmpty.look();
          }));
      if (found.deadLetters) this.#options.deadLettered(found.deadLetters);
      const messages = messagesIn(found.slices);
      if (messages > 0) {
        this.#density = messages / found.slices.length;
        this.#inFlight.claimed(
          messages,
          found.slices.some(({ groupId = "" }) => groupId !== ""),
        );
      }
      return found;
    } catch (error) {
      // What the statements before it claimed is handed out all the same.
      if (!isContinued) throw error;
      return { slices: [], deadLetters: undefined, dueIn: undefined };
    }
  }

  #distribute(
    claimed: ClaimedSlice[],
    group: Waiter[],
    asksAgain: (waiter: Waiter) => boolean,
  ): void {
    const stock = [...claimed];
    const take = this.#options.fifo ? takeGroups : takeMessages;
    for (const waiter of group) {
      // It keeps its place for the next claim.
      if (stock.length === 0 && asksAgain(waiter)) continue;
      // It may have gone away while the claim was under way.
      if (!this.remove(waiter)) continue;
      const taken = take(stock, waiter.attemptId === undefined ? waiter.max : waiter.asked);
      if (taken.length > 0) waiter.settle(taken);
      else if (waiter.parked) this.#parked.add(waiter);
      else waiter.settle([]);
    }
    if (stock.length > 0) this.#options.release(stock);
  }
}

function isNoAttempt({ attemptId }: Waiter): boolean {
  return attemptId === undefined;
}
