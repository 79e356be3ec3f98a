import type { Sql } from "@sluice/database";

import { queueNotFound } from "../errors.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import { LOOK_AHEAD, nextVisible } from "./find-visible.ts";
import type { GoneSignal } from "./gone-signal.ts";
import type { Rounds } from "../rounds/rounds.ts";
import { StragglerSearch } from "./straggler-search.ts";
import { QueueClaimer } from "./queue-claimer.ts";
import type { Waiter } from "./waiter.ts";

export interface WaitingRoomOptions {
  sql: Sql;
  waits: LockWaits;
  rounds: Rounds;
  release: (queueId: string, slices: ClaimedSlice[]) => void;
  /** Told of messages that went to a dead-letter queue. */
  deadLettered: (letters: { queueId: string; messages: number }) => void;
  /** Told that a queue of this name was deleted; there may be a new one. */
  deleted: (account: string, name: string) => void;
  /** Told when something in the background failed; it is tried again. */
  failed: (what: string, error: unknown) => void;
}

/**
 * Whoever asked for a queue by an id that stands for none had not heard of its deletion: it is to ask again, by the
 * name.
 */
export class QueueOutdated extends Error {}

export interface ReceiveRequest {
  queueId: string;
  account: string;
  queueName: string;
  fifo: boolean;
  /** Of a FIFO queue: a repeat of the receive with this id gets the same messages. */
  attemptId?: string | undefined;
  /** 1-1,000 */
  maxMessages: number;
  /** What its client asked for, which may be more: as much as a repeat with its attempt id may get. */
  asked: number;
  /** Seconds to wait when nothing is visible; 0 answers at once. */
  wait: number;
  visibilityTimeout: number | undefined;
  /** Aborted when the client goes away: it is then handed nothing. */
  signal?: GoneSignal | undefined;
  /** Aborted when the wait is over before its time. */
  enough?: GoneSignal | undefined;
}

/** What a receive got, and when the claim of it began, by the clock of this process in ms. */
export interface Claimed {
  slices: ClaimedSlice[];
  began: number;
}

/** How long a visible message may go unnoticed when the hint of it was lost, in ms (RELIABILITY I-9: 1 s). */
const SAFETY_POLL = 1_000;
/** Pause before asking again for messages that are visible, but in the hands of another process' claim, in ms. */
const CLAIMED_ELSEWHERE = 20;
/**
 * How long a queue that nobody asks for is remembered with its scan floor, in ms; then its next claim starts at the
 * front.
 */
const REMEMBERED = 60_000;
const MAX_REMEMBERED = 10_000;

/**
 * Holds the receives of this process that wait. A waiting receive is an entry in a map: no connection, no query of its
 * own. One statement a second looks, for all queues that are waited for, when their next message becomes visible (a
 * delay or a visibility timeout that runs out, or a message whose signal was lost) and sets a timer for it. It also
 * looks for messages that turned up below the place where the claims of a queue start; see {@link ScanFloor}. And it
 * finds out which queues were deleted where the hint of that was lost: claims do not tell.
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions;
  readonly #claimers = new Map<string, QueueClaimer>();
  readonly #stragglers: StragglerSearch;
  #poll: NodeJS.Timeout | undefined;
  #polling: Promise<void> = Promise.resolve();
  /** The look for stragglers that is under way. */
  #looking: Promise<void> | undefined;
  /** Queues whose next message becomes visible before the next poll. */
  readonly #due = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  #closed = false;

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
    this.#stragglers = new StragglerSearch(options.sql);
  }

  receive(request: ReceiveRequest): Promise<Claimed> {
    const { maxMessages, asked, attemptId, visibilityTimeout, wait, signal, enough } = request;
    if (signal?.aborted) return Promise.resolve({ slices: [], began: performance.now() });
    const claimer = this.#claimer(request);
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (claimer.remove(waiter)) waiter.settle([]);
      };
      const endWait = () => {
        claimer.endWait(waiter);
      };
      const timer =
        wait > 0 && !this.#closed && enough?.aborted !== true
          ? setTimeout(endWait, wait * 1_000)
          : undefined;
      const waiter: Waiter = {
        max: maxMessages,
        asked,
        attemptId,
        visibilityTimeout,
        parked: timer !== undefined,
        settle: (result, began = performance.now()) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", leave);
          enough?.removeEventListener("abort", endWait);
          if (result instanceof Error) reject(result);
          else resolve({ slices: result, began });
        },
      };
      signal?.addEventListener("abort", leave, { once: true });
      enough?.addEventListener("abort", endWait, { once: true });
      claimer.add(waiter);
      this.#poll ??= this.#pollLater();
    });
  }

  /** These queues may have visible messages. */
  signal(queueIds: readonly string[]): void {
    for (const id of queueIds) this.#claimers.get(id)?.signal();
  }

  /**
   * These queues are about to have visible messages: whoever waits for one of them claims now. False where nobody does.
   */
  ask(queueIds: readonly string[]): boolean {
    return queueIds.map((id) => this.#claimers.get(id)?.ask()).includes(true);
  }

  signalAll(): void {
    for (const claimer of this.#claimers.values()) claimer.signal();
  }

  /** This many messages of a queue were acknowledged by this process. */
  acknowledged(queueId: string, messages: number): void {
    this.#claimers.get(queueId)?.acknowledged(messages);
  }

  /** A queue is not what it was: what could not be received of it may be visible now. */
  queueChanged(account: string, name: string): void {
    for (const claimer of this.#claimers.values()) {
      if (claimer.isNamed(account, name)) claimer.forget();
    }
  }

  /** No queue may be what it was. */
  forget(): void {
    for (const claimer of this.#claimers.values()) claimer.forget();
  }

  /** Whether anybody waits for the queue of a name. */
  isWaitedFor(account: string, name: string): boolean {
    return [...this.#claimers.values()].some(
      (claimer) => claimer.isNamed(account, name) && !claimer.idle,
    );
  }

  /** Whoever waits for a queue of this name that is not the present one is told that it was deleted. */
  queueIsNow(account: string, name: string, queueId: string | undefined): void {
    for (const [id, claimer] of this.#claimers) {
      // Where there is another one of its name whoever waits goes on with that.
      if (id !== queueId && claimer.isNamed(account, name))
        claimer.fail(queueId === undefined ? queueNotFound(name) : new QueueOutdated());
    }
  }

  /** Answers every waiting receive with nothing; later receives do not wait. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#poll);
    for (const { timer } of this.#due.values()) clearTimeout(timer);
    for (const claimer of this.#claimers.values()) claimer.endWaiting();
  }

  /**
   * Resolves when the safety poll, the look for stragglers and the claims that were under way at the close have ended.
   */
  async idle(): Promise<void> {
    await this.#polling;
    await this.#looking;
    await Promise.all([...this.#claimers.values()].map(async (claimer) => claimer.ended()));
  }

  #pollLater(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#polling = this.#safetyPoll();
    }, SAFETY_POLL);
  }

  #claimer({ queueId, account, queueName: name, fifo }: ReceiveRequest): QueueClaimer {
    let claimer = this.#claimers.get(queueId);
    if (!claimer) {
      const release = (slices: ClaimedSlice[]) => {
        this.#options.release(queueId, slices);
      };
      const due = (ms: number) => {
        this.#signalIn(queueId, Math.max(ms, CLAIMED_ELSEWHERE));
      };
      const { sql, waits, rounds, deadLettered, failed } = this.#options;
      claimer = new QueueClaimer({
        sql,
        waits,
        rounds,
        fifo,
        queueId,
        account,
        name,
        release,
        due,
        deadLettered,
        failed,
      });
      this.#claimers.set(queueId, claimer);
    }
    return claimer;
  }

  async #safetyPoll(): Promise<void> {
    this.#forgetUnused();
    await this.#signalVisible().catch(this.#pollFailed);
    if (!this.#closed) this.#lookForStragglers();
    this.#poll = this.#claimers.size === 0 || this.#closed ? undefined : this.#pollLater();
  }

  readonly #pollFailed = (error: unknown): void => {
    this.#options.failed("safety poll", error);
  };

  /** Signals those of the queues asked for whose next message is visible, and sets a timer where it soon will be. */
  async #signalVisible(): Promise<void> {
    const askedFor = [...this.#claimers.values()].filter((claimer) => claimer.active);
    if (askedFor.length === 0) return;
    const queues = askedFor.map(({ queueId, floor }) => ({ queueId, from: floor.start }));
    const at = performance.now();
    const looks = askedFor.map(({ knownEmpty }) => knownEmpty.watch(at));
    const visible = new Set<string>();
    for (const found of await nextVisible(this.#options.sql, queues, LOOK_AHEAD)) {
      if (found.visibleAt === null) {
        this.#endDeleted(found.queueId);
        continue;
      }
      visible.add(found.queueId);
      this.#signalIn(found.queueId, found.visibleAt - found.now);
    }
    looks.forEach((look, index) => {
      const { queueId, knownEmpty } = askedFor[index]!;
      if (!visible.has(queueId)) knownEmpty.sawNothing(look);
    });
  }

  #endDeleted(queueId: string): void {
    const claimer = this.#claimers.get(queueId);
    if (!claimer) return;
    this.#options.deleted(claimer.account, claimer.name);
    claimer.fail(new QueueOutdated());
  }

  /**
   * Beside the polls, since it may take as long as a statement does at the most, where these have a second; one at a
   * time.
   */
  #lookForStragglers(): void {
    const claimers = [...this.#claimers.values()];
    for (const { floor } of claimers) floor.note();
    this.#looking ??= this.#signalStragglers(claimers)
      .catch(this.#pollFailed)
      .finally(() => {
        this.#looking = undefined;
      });
  }

  async #signalStragglers(claimers: readonly QueueClaimer[]): Promise<void> {
    for (const claimer of await this.#stragglers.find(claimers)) claimer.signal();
  }

  #signalIn(queueId: string, ms: number): void {
    // What is further off the safety poll finds in time.
    if (ms > LOOK_AHEAD || this.#closed) return;
    const at = performance.now() + ms;
    const known = this.#due.get(queueId);
    if (known && known.at <= at) return;
    clearTimeout(known?.timer);
    const timer = setTimeout(() => {
      this.#due.delete(queueId);
      this.#claimers.get(queueId)?.signal();
    }, Math.ceil(ms));
    this.#due.set(queueId, { at, timer });
  }

  #forgetUnused(): void {
    const before = performance.now() - REMEMBERED;
    for (const [queueId, claimer] of this.#claimers) {
      if (claimer.idleSince < before || (claimer.idle && this.#claimers.size > MAX_REMEMBERED)) {
        this.#claimers.delete(queueId);
      }
    }
  }
}
