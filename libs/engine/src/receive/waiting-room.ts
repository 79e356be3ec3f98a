import { numbers, type Sql } from "@sluice/database";

import { queueNotFound } from "../errors.ts";
import type { ClaimedSlice } from "./claim.ts";
import { QueueClaimer, type Waiter } from "./queue-claimer.ts";

export interface WaitingRoomOptions {
  sql: Sql;
  release: (queueId: string, slices: ClaimedSlice[]) => void;
  /** Told of messages that went to a dead-letter queue. */
  deadLettered: (letters: { queueId: string; messages: number }) => void;
  /** Told when the safety poll fails; it goes on. */
  onError: (error: unknown) => void;
}

export interface ReceiveRequest {
  queueId: string;
  account: string;
  queueName: string;
  fifo: boolean;
  /** Of a FIFO queue: a repeat of the receive with this id gets the same messages. */
  attemptId?: string | undefined;
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
/** Pause before asking again for messages that are visible, but in the hands of another process' claim, in ms. */
const CLAIMED_ELSEWHERE = 20;

/**
 * Holds the receives of this process that wait. A waiting receive is an entry in a map: no connection, no query of its
 * own. One statement a second looks, for all queues that are waited for, when their next message becomes visible
 * (a delay or a visibility timeout that runs out, or a message whose signal was lost) and sets a timer for it.
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions;
  readonly #claimers = new Map<string, QueueClaimer>();
  #poll: NodeJS.Timeout | undefined;
  /** Queues whose next message becomes visible before the next poll. */
  readonly #due = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  #closed = false;

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
  }

  receive(request: ReceiveRequest): Promise<ClaimedSlice[]> {
    const { maxMessages, attemptId, visibilityTimeout, wait, signal } = request;
    if (signal?.aborted) return Promise.resolve([]);
    const claimer = this.#claimer(request);
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
        attemptId,
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
      this.#poll ??= setTimeout(() => {
        void this.#safetyPoll();
      }, SAFETY_POLL);
    });
  }

  /** These queues may have visible messages. */
  signal(queueIds: readonly string[]): void {
    for (const id of queueIds) this.#claimers.get(id)?.signal();
  }

  signalAll(): void {
    for (const claimer of this.#claimers.values()) claimer.signal();
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
      if (id !== queueId && claimer.isNamed(account, name)) claimer.fail(queueNotFound(name));
    }
  }

  /** Answers every waiting receive with nothing; later receives do not wait. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#poll);
    for (const { timer } of this.#due.values()) clearTimeout(timer);
    for (const claimer of this.#claimers.values()) claimer.endWaiting();
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
      const { sql, deadLettered } = this.#options;
      claimer = new QueueClaimer({ sql, fifo, queueId, account, name, release, due, deadLettered });
      this.#claimers.set(queueId, claimer);
    }
    return claimer;
  }

  async #safetyPoll(): Promise<void> {
    const waitedFor = this.#queuesWaitedFor();
    await this.#signalVisible(waitedFor);
    this.#poll = undefined;
    if (this.#claimers.size === 0 || this.#closed) return;
    this.#poll = setTimeout(() => {
      void this.#safetyPoll();
    }, SAFETY_POLL);
  }

  /** Signals those of the queues whose next message is visible, and sets a timer for those where it soon will be. */
  async #signalVisible(queueIds: readonly string[]): Promise<void> {
    if (queueIds.length === 0) return;
    try {
      for (const { queue_id, due_in } of await this.#nextVisible(queueIds))
        this.#signalIn(queue_id, due_in);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #signalIn(queueId: string, ms: number): void {
    // What is further off the safety poll finds in time.
    if (ms > 2 * SAFETY_POLL || this.#closed) return;
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

  #queuesWaitedFor(): string[] {
    const waitedFor: string[] = [];
    for (const [queueId, claimer] of this.#claimers) {
      if (claimer.waiting) waitedFor.push(queueId);
      else if (claimer.idle) this.#claimers.delete(queueId);
    }
    return waitedFor;
  }

  /** Milliseconds until the first message of each queue is visible, where that is soon; an index entry of each kind read a queue. */
  #nextVisible(queueIds: readonly string[]): Promise<{ queue_id: string; due_in: number }[]> {
    return this.#options.sql<{ queue_id: string; due_in: number }[]>`
      SELECT waited_for.queue_id, extract(epoch FROM first.visible_at - clock.now)::float8 * 1000 AS due_in
      FROM unnest(${numbers(queueIds)}::bigint[]) AS waited_for(queue_id)
      CROSS JOIN LATERAL (
        (SELECT visible_at FROM slices s WHERE s.queue_id = waited_for.queue_id ORDER BY visible_at, batch_id LIMIT 1)
        UNION ALL
        (SELECT available_at FROM fifo_groups g WHERE g.queue_id = waited_for.queue_id ORDER BY queue_id, available_at LIMIT 1)
      ) first
      CROSS JOIN (SELECT clock_timestamp() AS now) clock
      WHERE first.visible_at < clock.now + ${2 * SAFETY_POLL}::int * interval '1 millisecond'`;
  }
}
