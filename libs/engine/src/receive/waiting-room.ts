import { numbers, type Sql } from "@sluice/database";

import { queueNotFound } from "../errors.ts";
import type { ClaimedSlice } from "./claim.ts";
import { QueueClaimer, type Waiter } from "./queue-claimer.ts";

export interface WaitingRoomOptions {
  sql: Sql;
  release: (queueId: string, slices: ClaimedSlice[]) => void;
  /** Told when the safety poll fails; it goes on. */
  onError: (error: unknown) => void;
}

export interface ReceiveRequest {
  queueId: string;
  account: string;
  /** 1-1,000 */
  maxMessages: number;
  /** Seconds to wait when nothing is visible; 0 answers at once. */
  wait: number;
  visibilityTimeout: number | undefined;
  /** Aborted when the client goes away: it is then handed nothing. */
  signal?: AbortSignal | undefined;
}

/** How long a visible message may go unnoticed when the hint of it was lost, in ms (RELIABILITY I-9: 1 s). */
const SAFETY_POLL = 1_000;
/** When to look at a queue that somebody has begun to wait for, in ms: many who begin together cost one look. */
const SOON = 50;

/**
 * Holds the receives of this process that wait. A waiting receive is an entry in a map: no connection, no query of its
 * own. One statement a second looks, for all queues that are waited for, when their next message becomes visible
 * (a delay or a visibility timeout that runs out, or a message whose signal was lost) and sets a timer for it.
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions;
  readonly #claimers = new Map<string, QueueClaimer>();
  #poll: NodeJS.Timeout | undefined;
  #pollDue = 0;
  #polling = false;
  #closed = false;

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
  }

  receive(request: ReceiveRequest): Promise<ClaimedSlice[]> {
    const { queueId, maxMessages, visibilityTimeout, wait, signal } = request;
    if (signal?.aborted) return Promise.resolve([]);
    const claimer = this.#claimer(queueId, request.account);
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (claimer.remove(waiter)) waiter.settle([]);
      };
      const timer =
        wait > 0 && !this.#closed
          ? setTimeout(() => {
              claimer.endWait(waiter);
            }, wait * 1_000)
          : undefined;
      const waiter: Waiter = {
        max: maxMessages,
        visibilityTimeout,
        parked: timer !== undefined,
        settle: (result) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", leave);
          if (result instanceof Error) reject(result);
          else resolve(result);
        },
      };
      signal?.addEventListener("abort", leave, { once: true });
      claimer.add(waiter);
      if (timer) this.#pollIn(SOON);
    });
  }

  /** These queues may have visible messages. */
  signal(queueIds: readonly string[]): void {
    for (const id of queueIds) this.#claimers.get(id)?.signal();
    // What was signalled may be delayed: find out when it is due.
    if (this.#poll) this.#pollIn(SOON);
  }

  signalAll(): void {
    for (const claimer of this.#claimers.values()) claimer.signal();
  }

  /** The queue was deleted: whoever waits for it is told so. */
  queueDeleted(queueId: string, name: string): void {
    this.#claimers.get(queueId)?.fail(queueNotFound(name));
  }

  /** Answers every waiting receive with nothing; later receives do not wait. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#poll);
    for (const claimer of this.#claimers.values()) claimer.endWaiting();
  }

  #claimer(queueId: string, account: string): QueueClaimer {
    let claimer = this.#claimers.get(queueId);
    if (!claimer) {
      const release = (slices: ClaimedSlice[]) => {
        this.#options.release(queueId, slices);
      };
      claimer = new QueueClaimer({ sql: this.#options.sql, queueId, account, release });
      this.#claimers.set(queueId, claimer);
    }
    return claimer;
  }

  #pollIn(delay: number): void {
    const due = performance.now() + delay;
    if (this.#closed || this.#polling || (this.#poll && this.#pollDue <= due)) return;
    clearTimeout(this.#poll);
    this.#pollDue = due;
    this.#poll = setTimeout(() => {
      this.#poll = undefined;
      void this.#lookForVisible();
    }, delay);
  }

  async #lookForVisible(): Promise<void> {
    const waitedFor = this.#queuesWaitedFor();
    if (waitedFor.length === 0) return;
    this.#polling = true;
    let next = SAFETY_POLL;
    try {
      for (const { queue_id, due_in } of await this.#nextVisible(waitedFor)) {
        if (due_in === null) continue;
        if (due_in <= 0) this.#claimers.get(queue_id)?.signal();
        else next = Math.min(next, Math.ceil(due_in));
      }
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#polling = false;
      this.#pollIn(next);
    }
  }

  #queuesWaitedFor(): string[] {
    const waitedFor: string[] = [];
    for (const [queueId, claimer] of this.#claimers) {
      if (claimer.waiting) waitedFor.push(queueId);
      else if (claimer.idle) this.#claimers.delete(queueId);
    }
    return waitedFor;
  }

  /** Milliseconds until the first message of each queue is visible; one index entry read a queue. */
  #nextVisible(queueIds: readonly string[]): Promise<{ queue_id: string; due_in: number | null }[]> {
    return this.#options.sql<{ queue_id: string; due_in: number | null }[]>`
      SELECT waited_for.queue_id, extract(epoch FROM first.visible_at - clock_timestamp())::float8 * 1000 AS due_in
      FROM unnest(${numbers(queueIds)}::bigint[]) AS waited_for(queue_id)
      LEFT JOIN LATERAL (
        SELECT visible_at FROM slices s WHERE s.queue_id = waited_for.queue_id ORDER BY visible_at, batch_id LIMIT 1
      ) first ON true`;
  }
}
