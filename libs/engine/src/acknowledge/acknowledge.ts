import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";

import type { Directory } from "../directory/directory.ts";
import type { EntryError } from "../errors.ts";
import type { Observer } from "../observer.ts";
import type { Queue } from "../queues/queue-rows.ts";
import {
  noLongerHeld,
  readHandles,
  readReceipts,
  type MarkedReceipt,
} from "../receipt-handle/read-handles.ts";
import type { ReceiptHandles } from "../receipt-handle/receipt-handle.ts";
import { markSlices, sliceKey, type SliceMark } from "../receipt-handle/slice-marks.ts";
import { bitCount } from "../message/bits.ts";
import type { Rounds } from "../rounds/rounds.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { acknowledgeFifo } from "./acknowledge-fifo.ts";
import { SharedAcknowledgements } from "./shared-acknowledgements.ts";

/**
 * Acknowledges: a message is gone for good once its result is there.
 *
 * Acknowledgements of all queues that arrive while one statement is under way share the next, as publishes do.
 */
export class Acknowledger {
  readonly #queues: Directory<Queue>;
  readonly #handles: ReceiptHandles;
  readonly #observer: Observer;
  readonly #acknowledged: (queueId: string, messages: number) => void;
  readonly #rounds: Rounds;
  /** Of FIFO queues: they need the locks of their groups. */
  readonly #fifo: SharedAcknowledgements;

  constructor(options: {
    sql: Sql;
    waits: LockWaits;
    rounds: Rounds;
    bus: Bus;
    queues: Directory<Queue>;
    handles: ReceiptHandles;
    observer: Observer;
    /** Told how many messages of which queue are no longer in flight. */
    acknowledged: (queueId: string, messages: number) => void;
  }) {
    this.#queues = options.queues;
    this.#handles = options.handles;
    this.#observer = options.observer;
    this.#acknowledged = options.acknowledged;
    this.#rounds = options.rounds;
    const { sql, bus, waits } = options;
    this.#fifo = new SharedAcknowledgements(waits, async (marks, send) => {
      const outcome = await send((lockTimeout) => acknowledgeFifo(sql, marks, lockTimeout));
      if (!outcome) return [];
      if (outcome.available.length > 0) bus.signalQueues(outcome.available);
      return outcome.done;
    });
  }

  /**
   * One result a handle, in order: undefined when the message is gone, else why it is not this receiver's any more.
   * @throws {SluiceError} `queue_not_found`, `receipt_handle_invalid`, `too_many_requests`, `unavailable`
   */
  async acknowledge(
    account: string,
    queueName: string,
    handles: readonly string[],
  ): Promise<(EntryError | undefined)[]> {
    const { fifo, read } = await this.#queues.use(account, queueName, (queue) => ({
      fifo: queue.fifo,
      read: readHandles(this.#handles, queue.id, handles, (index) => `receiptHandles.${index}`),
    }));
    const { marks, markOf } = markSlices(read);
    const done = await (fifo ? this.#fifo.add(marks) : this.#rounds.acknowledge(marks));
    const results = read.map(({ bit }, index) =>
      ((done[markOf[index] ?? 0] ?? 0n) >> BigInt(bit)) & 1n ? undefined : noLongerHeld(),
    );
    this.#count(marks, done);
    return results;
  }

  /**
   * The same for messages named by the receipts they came under: the messages of each receipt that are gone, as bits.
   * What it costs is per receipt.
   * @throws {SluiceError} `queue_not_found`, `receipt_handle_invalid`, `too_many_requests`, `unavailable`
   */
  async acknowledgeReceipts(
    account: string,
    queueName: string,
    receipts: readonly MarkedReceipt[],
  ): Promise<bigint[]> {
    const { fifo, marks } = await this.#queues.use(account, queueName, (queue) => ({
      fifo: queue.fifo,
      marks: readReceipts(this.#handles, queue.id, receipts),
    }));
    const done = await (fifo ? this.#fifo.add(marks) : this.#rounds.acknowledge(marks));
    this.#count(marks, eachOnce(marks, done));
    return done;
  }

  /** @param gone - Bits of what is gone: each message once */
  #count([mark]: readonly SliceMark[], gone: readonly bigint[]): void {
    const messages = gone.reduce((sum, bits) => sum + bitCount(bits), 0);
    this.#observer.acknowledged(messages);
    if (mark) this.#acknowledged(mark.queueId, messages);
  }

  async idle(): Promise<void> {
    await Promise.all([this.#rounds.idle(), this.#fifo.idle()]);
  }
}

/** The bits of each slice, also where a call names its receipts many times. */
function eachOnce(marks: readonly SliceMark[], done: readonly bigint[]): readonly bigint[] {
  if (marks.length === 1) return done;
  const gone = new Map<string, bigint>();
  marks.forEach((mark, index) => {
    const key = sliceKey(mark);
    gone.set(key, (gone.get(key) ?? 0n) | (done[index] ?? 0n));
  });
  return [...gone.values()];
}
