import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import { MAX_ROUND_MARKS, MAX_WAITING_MARKS } from "../acknowledge/shared-acknowledgements.ts";
import type { Directory } from "../directory/directory.ts";
import type { EntryError } from "../errors.ts";
import type { Queue } from "../queues/queue-rows.ts";
import { applyMarks } from "../receipt-handle/apply-marks.ts";
import { readHandles } from "../receipt-handle/read-handles.ts";
import type { ReceiptHandles } from "../receipt-handle/receipt-handle.ts";
import { inIndexOrder, sliceKey } from "../receipt-handle/slice-marks.ts";
import { ByQueue } from "../write/by-queue.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { changeFifo } from "./change-fifo.ts";
import { MAX_HELD, moveDeadline, type DeadlineMark, type ReleaseOptions } from "./move-deadline.ts";

/** A new visibility timeout for one received message, in seconds from now, 0-43,200; 0 makes it visible at once. */
export interface VisibilityEntry {
  receiptHandle: string;
  visibilityTimeout: number;
  /** Why the message is given back, 1-1,024 characters: kept until the next reason, and with a dead letter. */
  reason?: string | undefined;
  /** False, with a timeout of 0 only: nobody has seen the message, and its receive does not count. */
  received?: boolean | undefined;
}

/** The bits of a mark that are accounted for. */
export interface MovedDeadline {
  done: bigint;
  /** Of those: would have been hidden for longer than allowed, so nothing was changed. */
  beyond: bigint;
}

/**
 * Changes how long received messages stay hidden: extends them while work goes on, or gives them back.
 *
 * Changes of a standard queue that arrive while one statement of it is under way share the next: so one whose slices
 * are locked keeps no more than one connection waiting.
 */
export class VisibilityChanger {
  readonly #sql: Sql;
  readonly #waits: LockWaits;
  readonly #bus: Bus;
  readonly #queues: Directory<Queue>;
  readonly #handles: ReceiptHandles;
  /** Of standard queues. */
  readonly #changes: ByQueue<readonly DeadlineMark[], MovedDeadline[]>;

  constructor(options: {
    sql: Sql;
    waits: LockWaits;
    bus: Bus;
    queues: Directory<Queue>;
    handles: ReceiptHandles;
  }) {
    const { sql, waits } = options;
    this.#sql = sql;
    this.#waits = waits;
    this.#changes = new ByQueue({
      write: (calls) => moveTogether(calls, (marks) => moveDeadlines(sql, marks, { waits })),
      weigh: (marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
    });
    this.#bus = options.bus;
    this.#queues = options.queues;
    this.#handles = options.handles;
  }

  /**
   * One result an entry, in order: undefined when done, else why not. Of several entries for one message the last
   * one counts for all of them.
   * @throws {SluiceError} `queue_not_found`, `receipt_handle_invalid`, `too_many_requests`, `unavailable`
   */
  async change(
    account: string,
    queueName: string,
    entries: readonly VisibilityEntry[],
  ): Promise<(EntryError | undefined)[]> {
    const tokens = entries.map((entry) => entry.receiptHandle);
    const { fifo, handles } = await this.#queues.use(account, queueName, (queue) => ({
      fifo: queue.fifo,
      handles: readHandles(
        this.#handles,
        queue.id,
        tokens,
        (index) => `entries.${index}.receiptHandle`,
      ),
    }));

    const last = new Map(entries.map((entry) => [entry.receiptHandle, entry]));
    const marks = new Map<string, DeadlineMark>();
    const markOf = handles.map(({ bit, ...slice }, index) => {
      const entry = last.get(tokens[index] ?? "");
      const { visibilityTimeout: timeout = 0, reason = "", received = true } = entry ?? {};
      const change = { ...slice, timeout, reason, unseen: !received };
      const key = changeKey(change);
      const mark = marks.get(key) ?? { ...change, mask: 0n };
      mark.mask |= 1n << BigInt(bit);
      marks.set(key, mark);
      return key;
    });
    const list = [...marks.values()];
    if (fifo) {
      const errors = await this.#changeFifo(list);
      const errorsByKey = new Map([...marks.keys()].map((key, index) => [key, errors[index]]));
      return handles.map(({ bit }, index) => errorsByKey.get(markOf[index] ?? "")?.(bit));
    }
    const moved = list[0] ? await this.#changes.add(list[0].queueId, list) : [];
    failpoint("visibility.committed");
    const movedByKey = new Map([...marks.keys()].map((key, index) => [key, moved[index]]));
    const givenBack = list.find((mark) => mark.timeout === 0);
    if (givenBack) this.#bus.signalQueues([givenBack.queueId]);
    return handles.map(({ bit }, index) =>
      outcomeOf(1n << BigInt(bit), movedByKey.get(markOf[index] ?? "")),
    );
  }

  async #changeFifo(marks: readonly DeadlineMark[]): Promise<ErrorOfBit[]> {
    const { moved, available } = await changeFifo(this.#sql, marks, { waits: this.#waits });
    if (available.length > 0) this.#bus.signalQueues(available);
    return moved.map(({ done, beyond }) => (bit) => {
      if ((done >> BigInt(bit)) & 1n) return undefined;
      return (beyond >> BigInt(bit)) & 1n ? beyondLimit() : notInFlight();
    });
  }
}

/** Of one mark: what kept the message at a bit from being changed, if anything did. */
type ErrorOfBit = (bit: number) => EntryError | undefined;

function outcomeOf(bit: bigint, moved: MovedDeadline | undefined): EntryError | undefined {
  if (!moved || (moved.done & bit) === 0n) return notInFlight();
  return (moved.beyond & bit) === 0n ? undefined : beyondLimit();
}

/** The same change of the same slice. */
function changeKey(mark: Omit<DeadlineMark, "mask">): string {
  return `${sliceKey(mark)}/${mark.timeout}/${mark.unseen}/${mark.reason}`;
}

/**
 * Several calls may change one slice in the same way: their marks become one, and each call is told about its own bits.
 */
async function moveTogether(
  calls: readonly (readonly DeadlineMark[])[],
  move: (marks: readonly DeadlineMark[]) => Promise<MovedDeadline[]>,
): Promise<MovedDeadline[][]> {
  const merged = new Map<string, DeadlineMark>();
  for (const mark of calls.flat()) {
    const key = changeKey(mark);
    const known = merged.get(key);
    if (known) known.mask |= mark.mask;
    else merged.set(key, { ...mark });
  }
  const moved = await move([...merged.values()]);
  const movedByKey = new Map([...merged.keys()].map((key, index) => [key, moved[index]]));
  return calls.map((call) =>
    call.map((mark) => {
      const { done = 0n, beyond = 0n } = movedByKey.get(changeKey(mark)) ?? {};
      return { done: done & mark.mask, beyond: beyond & mark.mask };
    }),
  );
}

/**
 * Moves deadlines, and tells for each mark what became of its bits.
 *
 * Marks that name the same slice with different timeouts go down one statement after the other: a statement can change
 * a row once only.
 */
export async function moveDeadlines(
  sql: Sql,
  marks: readonly DeadlineMark[],
  { waits }: Pick<ReleaseOptions, "waits"> = {},
): Promise<MovedDeadline[]> {
  const moved = marks.map((): MovedDeadline => ({ done: 0n, beyond: 0n }));
  let left = marks
    .map((mark, index) => ({ mark, index }))
    .sort((a, b) => inIndexOrder(a.mark, b.mark));
  while (left.length > 0) {
    const slices = new Set<string>();
    const later: typeof left = [];
    const round = left.filter((entry) => {
      // A slice that was moved and split before may be found by several of its old deadlines.
      const slice = `${entry.mark.queueId}/${entry.mark.batchId}`;
      const isLater = slices.has(slice);
      if (isLater) later.push(entry);
      slices.add(slice);
      return !isLater;
    });
    const beyond = new Map<string, bigint>();
    const results = await applyMarks(
      round.map((entry) => entry.mark),
      async (some, lookup) => {
        const move = (lockTimeout?: string) =>
          moveDeadline(sql, some as DeadlineMark[], { lookup, lockTimeout });
        const rows = await (waits ? waits.run(move) : move());
        for (const row of rows.filter((one) => one.beyond)) {
          const slice = sliceKey(some[row.position - 1] as DeadlineMark);
          beyond.set(slice, (beyond.get(slice) ?? 0n) | BigInt(row.done));
        }
        return rows;
      },
    );
    round.forEach(({ mark, index }, position) => {
      moved[index] = { done: results[position] ?? 0n, beyond: beyond.get(sliceKey(mark)) ?? 0n };
    });
    left = later;
  }
  return moved;
}

function notInFlight(): EntryError {
  return {
    code: "message_not_in_flight",
    message:
      "this receive no longer holds the message: it was acknowledged, or its visibility timeout ran out",
  };
}

function beyondLimit(): EntryError {
  return {
    code: "visibility_beyond_limit",
    message: `the message would stay hidden for more than ${MAX_HELD} seconds since it was received; ask for less, or give it back`,
  };
}
