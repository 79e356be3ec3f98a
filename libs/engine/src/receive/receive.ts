import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Directory } from "../directory/directory.ts";
import type { Observer } from "../observer.ts";
import type { Queue } from "../queues/queue-rows.ts";
import { changeFifo } from "../visibility/change-fifo.ts";
import { moveDeadlines } from "../visibility/change-visibility.ts";
import { AnswerSizes, MAX_ANSWER } from "./answer-sizes.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import type { GoneSignal } from "./gone-signal.ts";
import type { Rounds } from "../rounds/rounds.ts";
import { bitCount } from "../message/bits.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { receivedSlices, type ReceivedSlice, type SliceSources } from "./received-slice.ts";
import { QueueOutdated, WaitingRoom, type Claimed } from "./waiting-room.ts";

export interface ReceiveOptions {
  /** 1-1,000; default 1. */
  maxMessages?: number | undefined;
  /**
   * Most characters to hand out, and a batch more at most: what is claimed beyond that is given back. Default 16 Mi.
   * Asked for again when there is something to hand out, since that may be much later.
   */
  length?: (() => number) | undefined;
  /** Seconds to wait for a first message, 0-20; default the queue's. */
  wait?: number | undefined;
  /** Seconds, 0-43,200; default the queue's. */
  visibilityTimeout?: number | undefined;
  /**
   * FIFO only: 1-128 printable ASCII characters. The same id again within 5 minutes, while the messages are still held
   * by that receive, gets the same messages with the same handles, and their visibility timeout begins anew.
   */
  attemptId?: string | undefined;
  /** Of a FIFO queue: waited for before, as it lets groups go on. What it fails with is of no concern here. */
  after?: Promise<unknown> | undefined;
  /** Aborted when the client goes away. */
  signal?: GoneSignal | undefined;
  /** Aborted when it is to wait no longer: it gets what the claim that is under way finds for it. */
  enough?: GoneSignal | undefined;
}

export interface Received {
  slices: ReceivedSlice[];
  messages: number;
  /**
   * For how long it waited until the claim of them began, in whole ms: by no more than that does their visibility
   * timeout begin after the receive.
   */
  waitedMs: number;
  /** Makes all of it visible again at once: for a client that went away before it had the answer. Never rejects. */
  release: () => Promise<void>;
}

export interface ReceiverOptions extends SliceSources {
  sql: Sql;
  waits: LockWaits;
  rounds: Rounds;
  bus: Bus;
  queues: Directory<Queue>;
  observer: Observer;
}

/** Receives: claims, waits, and puts the stored lines of what was claimed together. */
export class Receiver {
  readonly #sql: Sql;
  readonly #waits: LockWaits;
  readonly #bus: Bus;
  readonly #queues: Directory<Queue>;
  readonly #sources: SliceSources;
  readonly #observer: Observer;
  readonly #room: WaitingRoom;
  readonly #sizes = new AnswerSizes();
  /** What is under way to make messages visible again for which nobody is there any more. */
  readonly #releases = new Set<Promise<void>>();

  constructor(options: ReceiverOptions) {
    this.#sql = options.sql;
    this.#waits = options.waits;
    this.#bus = options.bus;
    this.#queues = options.queues;
    this.#sources = options;
    this.#observer = options.observer;
    this.#room = new WaitingRoom({
      sql: options.sql,
      waits: options.waits,
      rounds: options.rounds,
      release: (queueId, slices) => {
        void this.#release(queueId, slices, true);
      },
      deadLettered: ({ queueId, messages }) => {
        this.#observer.deadLettered(messages);
        this.#bus.signalQueues([queueId]);
      },
      deleted: (account, queueName) => {
        this.#queues.forget(account, queueName);
      },
      failed: (what, error) => {
        this.#observer.failed(what, error);
      },
    });
  }

  /** @throws {SluiceError} `queue_not_found`, `over_limit`, `unavailable` */
  async receive(account: string, queueName: string, options: ReceiveOptions): Promise<Received> {
    const { length = () => MAX_ANSWER } = options;
    const queue = await this.#queues.get(account, queueName);
    if (queue.fifo && options.after) await Promise.allSettled([options.after]);
    const asked = options.maxMessages ?? 1;
    const since = performance.now();
    const wait = options.wait ?? queue.receiveWait;
    let claim: Claimed;
    try {
      claim = await this.#room.receive({
        queueId: queue.id,
        account,
        queueName,
        fifo: queue.fifo,
        attemptId: queue.fifo ? options.attemptId : undefined,
        maxMessages: this.#sizes.mostOf(queue.id, asked, length()),
        asked,
        wait,
        visibilityTimeout: options.visibilityTimeout,
        signal: options.signal,
        enough: options.enough,
      });
    } catch (error) {
      if (!(error instanceof QueueOutdated)) throw error;
      const waited = performance.now() - since;
      const left = Math.max(0, wait - waited / 1_000);
      const received = await this.receive(account, queueName, { ...options, wait: left });
      return { ...received, waitedMs: Math.floor(waited) + received.waitedMs };
    }
    const { slices: claimed, began } = claim;
    if (claimed.length > 0) failpoint("claim.committed");
    const slices = await this.#handOut(queue, claimed, length());
    const messages = slices.reduce((sum, slice) => sum + slice.lines.length, 0);
    this.#observer.received(messages);
    const waitedMs = Math.max(0, Math.floor(began - since));
    return { slices, messages, waitedMs, release: () => this.#release(queue.id, claimed) };
  }

  /** These queues may have visible messages. */
  signal(queueIds: readonly string[]): void {
    this.#room.signal(queueIds);
  }

  /** Has receives that wait for messages of these queues, by id, claim now; false where there are none. */
  ask(queueIds: readonly string[]): boolean {
    return this.#room.ask(queueIds);
  }

  signalAll(): void {
    this.#room.signalAll();
  }

  isWaitedFor(account: string, queueName: string): boolean {
    return this.#room.isWaitedFor(account, queueName);
  }

  /** What a name stands for now: undefined when its queue was deleted. Ends waiting for what it stood for before. */
  queueIsNow(account: string, queueName: string, queueId: string | undefined): void {
    this.#room.queueIsNow(account, queueName, queueId);
  }

  /** A queue was changed: paused, or kept for another while. */
  queueChanged(account: string, queueName: string): void {
    this.#room.queueChanged(account, queueName);
  }

  /** The database may be another one: what could not be received of any queue may be visible now. */
  forget(): void {
    this.#room.forget();
  }

  /** Messages of a queue were acknowledged by this process. */
  acknowledged(queueId: string, messages: number): void {
    this.#room.acknowledged(queueId, messages);
  }

  /** Ends all waiting. */
  close(): void {
    this.#room.close();
  }

  /** Resolves when nothing of it runs in the background any more; after the close. */
  async idle(): Promise<void> {
    await this.#room.idle();
    while (this.#releases.size > 0) await Promise.allSettled(this.#releases);
  }

  /** What cannot be handed out, or is too much for one answer, is given back; `claimed` then has the rest. */
  async #handOut(queue: Queue, claimed: ClaimedSlice[], length: number): Promise<ReceivedSlice[]> {
    if (claimed.length === 0) return [];
    try {
      const payloads = await this.#sources.payloads.getSome(
        claimed.map((slice) => slice.batchId),
        length,
      );
      const end = this.#sizes.fitting(queue.id, claimed, payloads, length);
      // Whoever asks next is to find it as if nobody had received it.
      if (end < claimed.length) await this.#release(queue.id, claimed.splice(end), true);
      return await receivedSlices(this.#sources, queue, claimed, payloads.lines);
    } catch (error) {
      void this.#release(queue.id, claimed, true);
      throw error;
    }
  }

  /** @param unseen - Nobody has seen them: as if they had not been received. */
  #release(queueId: string, slices: readonly ClaimedSlice[], unseen = false): Promise<void> {
    const release = this.#makeVisible(queueId, slices, unseen)
      .catch((error: unknown) => {
        // Nothing is lost: the messages are visible again when their timeout ends.
        this.#observer.failed("release", error);
      })
      .finally(() => this.#releases.delete(release));
    this.#releases.add(release);
    return release;
  }

  async #makeVisible(
    queueId: string,
    slices: readonly ClaimedSlice[],
    unseen: boolean,
  ): Promise<void> {
    const marks = slices.flatMap((slice) => {
      const { group: { heldUntil } = {} } = slice;
      // What a receive got again is in the hands of whoever had it first.
      if (slice.group && heldUntil === undefined) return [];
      return [{ queueId, ...slice, heldUntil, timeout: 0, reason: "", unseen }];
    });
    if (marks.length === 0) return;
    const options = { waits: this.#waits };
    if (slices[0]?.group) await changeFifo(this.#sql, marks, options);
    else await moveDeadlines(this.#sql, marks, options);
    this.#observer.released(marks.reduce((sum, mark) => sum + bitCount(mark.mask), 0));
    this.#room.signal([queueId]);
    this.#bus.signalQueues([queueId]);
  }
}
