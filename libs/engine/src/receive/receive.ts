import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Directory } from "../directory/directory.ts";
import type { Envelopes } from "../envelope/envelopes.ts";
import { sequenceNumberOf } from "../message-group/sequence-number.ts";
import type { Observer } from "../observer.ts";
import type { Queue } from "../queues/queue-rows.ts";
import type { ReceiptHandles } from "../receipt-handle/receipt-handle.ts";
import { changeFifo } from "../visibility/change-fifo.ts";
import { moveDeadlines } from "../visibility/change-visibility.ts";
import { AnswerSizes, MAX_ANSWER } from "./answer-sizes.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import type { GoneSignal } from "./gone-signal.ts";
import type { Payloads } from "./payloads.ts";
import type { Rounds } from "../rounds/rounds.ts";
import { bitCount, bitsOf } from "../message/bits.ts";
import type { LockWaits } from "../write/lock-waits.ts";
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

/** Received messages of one slice: what they share is here once. */
export interface ReceivedSlice {
  /** Serialised messages (see serializeMessage); the handle of `lines[i]` is `handlePrefix + bitCharacter(bits[i])`. */
  lines: string[];
  bits: number[];
  /**
   * All lines of their batch, `batch[bits[i]]` being `lines[i]`: the same array for every queue. Undefined inside
   * notifications.
   */
  batch: readonly string[] | undefined;
  /**
   * The same messages as JSON objects with commas between them, where it is at hand: for the messages of a whole batch.
   */
  json: Buffer | undefined;
  handlePrefix: string;
  receiveCount: number;
  /** Milliseconds since the epoch. */
  sentAt: number;
  /** With three decimals; see {@link ClaimedSlice}. */
  firstReceivedAt: number;
  /** Whether it came out of the archive of its topic; `sentAt` is then when it was published. */
  replayed: boolean;
  /** Of dead letters: where they came from and why. */
  deadLetter: { sourceQueueId: string; reason: string } | undefined;
  /** Of a FIFO queue: the group of all of them, the number that bit 0 has, and one number for each line. */
  groupId?: string | undefined;
  firstSequenceNumber?: string | undefined;
  sequenceNumbers?: string[] | undefined;
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

/** Receives: claims, waits, and puts the stored lines of what was claimed together. */
export class Receiver {
  readonly #sql: Sql;
  readonly #waits: LockWaits;
  readonly #bus: Bus;
  readonly #queues: Directory<Queue>;
  readonly #payloads: Payloads;
  readonly #envelopes: Envelopes;
  readonly #handles: ReceiptHandles;
  readonly #observer: Observer;
  readonly #room: WaitingRoom;
  readonly #sizes = new AnswerSizes();
  /** What is under way to make messages visible again for which nobody is there any more. */
  readonly #releases = new Set<Promise<void>>();

  constructor(options: {
    sql: Sql;
    waits: LockWaits;
    rounds: Rounds;
    bus: Bus;
    queues: Directory<Queue>;
    payloads: Payloads;
    envelopes: Envelopes;
    handles: ReceiptHandles;
    observer: Observer;
  }) {
    this.#sql = options.sql;
    this.#waits = options.waits;
    this.#bus = options.bus;
    this.#queues = options.queues;
    this.#payloads = options.payloads;
    this.#envelopes = options.envelopes;
    this.#handles = options.handles;
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
      const payloads = await this.#payloads.getSome(
        claimed.map((slice) => slice.batchId),
        length,
      );
      const end = this.#sizes.fitting(queue.id, claimed, payloads, length);
      // Whoever asks next is to find it as if nobody had received it.
      if (end < claimed.length) await this.#release(queue.id, claimed.splice(end), true);
      return await this.#withLines(queue, claimed, payloads.lines);
    } catch (error) {
      void this.#release(queue.id, claimed, true);
      throw error;
    }
  }

  async #withLines(
    { id: queueId, account }: Queue,
    claimed: readonly ClaimedSlice[],
    payloads: ReadonlyMap<string, readonly string[]>,
  ): Promise<ReceivedSlice[]> {
    const received = claimed.flatMap((slice) => {
      const stored = payloads.get(slice.batchId);
      // Expired, or acknowledged by another holder, and cleaned up between the claim and this moment.
      const bits = bitsOf(slice.mask).filter((bit) => stored?.[bit]);
      if (!stored || bits.length === 0) return [];
      const { group } = slice;
      return [
        {
          lines: bits.map((bit) => stored[bit] ?? ""),
          envelope: slice.envelope,
          bits,
          batch: slice.envelope === undefined ? stored : undefined,
          // Inside notifications the bytes are others.
          json:
            slice.envelope === undefined && bits.length === stored.length
              ? this.#payloads.jsonOf(stored)
              : undefined,
          handlePrefix: this.#handles.prefix({ queueId, ...slice }),
          receiveCount: slice.receiveCount,
          sentAt: slice.publishedAt ?? slice.sentAt,
          replayed: slice.publishedAt !== undefined,
          firstReceivedAt: slice.firstReceivedAt,
          deadLetter: slice.deadLetter,
          ...(group && {
            groupId: group.id,
            firstSequenceNumber: sequenceNumberOf(group.sequence, 0),
            sequenceNumbers: bits.map((bit) => sequenceNumberOf(group.sequence, bit)),
          }),
        },
      ];
    });
    await Promise.all(
      received.map(async (slice) => {
        const { envelope, sentAt, replayed } = slice;
        if (envelope === undefined) return;
        slice.lines = await Promise.all(
          slice.lines.map((line, index) =>
            this.#envelopes.wrap(line, slice.bits[index] ?? 0, {
              account,
              envelope,
              sentAt,
              replayed,
            }),
          ),
        );
      }),
    );
    return received;
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
