import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Directory } from "../directory/directory.ts";
import type { EntryError } from "../errors.ts";
import type { Queue } from "../queues/queues.ts";
import { applyMarks } from "../receipt-handle/apply-marks.ts";
import { readHandles } from "../receipt-handle/read-handles.ts";
import type { ReceiptHandles } from "../receipt-handle/receipt-handle.ts";
import { sliceKey } from "../receipt-handle/slice-marks.ts";
import { moveDeadline, type DeadlineMark } from "./move-deadline.ts";

/** A new visibility timeout for one received message, in seconds from now, 0-43,200; 0 makes it visible at once. */
export interface VisibilityEntry {
  receiptHandle: string;
  visibilityTimeout: number;
}

/** Changes how long received messages stay hidden: extends them while work goes on, or gives them back. */
export class VisibilityChanger {
  readonly #sql: Sql;
  readonly #bus: Bus;
  readonly #queues: Directory<Queue>;
  readonly #handles: ReceiptHandles;

  constructor(options: { sql: Sql; bus: Bus; queues: Directory<Queue>; handles: ReceiptHandles }) {
    this.#sql = options.sql;
    this.#bus = options.bus;
    this.#queues = options.queues;
    this.#handles = options.handles;
  }

  /**
   * One result an entry, in order: undefined when done, else why not. Of several entries for one message the last
   * one counts for all of them.
   * @throws {SluiceError} `queue_not_found`, `receipt_handle_invalid`, `unavailable`
   */
  async change(
    account: string,
    queueName: string,
    entries: readonly VisibilityEntry[],
  ): Promise<(EntryError | undefined)[]> {
    const tokens = entries.map((entry) => entry.receiptHandle);
    const handles = await this.#queues.use(account, queueName, (queue) =>
      readHandles(this.#handles, queue.id, tokens, (index) => `entries.${index}.receiptHandle`),
    );

    const timeouts = new Map(
      entries.map((entry) => [entry.receiptHandle, entry.visibilityTimeout]),
    );
    const marks = new Map<string, DeadlineMark>();
    const markOf = handles.map(({ bit, ...slice }, index) => {
      const timeout = timeouts.get(tokens[index] ?? "") ?? 0;
      const key = `${sliceKey(slice)}/${timeout}`;
      const mark = marks.get(key) ?? { ...slice, timeout, mask: 0n };
      mark.mask |= 1n << BigInt(bit);
      marks.set(key, mark);
      return key;
    });
    const list = [...marks.values()];
    const done = await moveDeadlines(this.#sql, list);
    failpoint("visibility.committed");
    const doneByKey = new Map([...marks.keys()].map((key, index) => [key, done[index] ?? 0n]));
    const givenBack = list.find((mark) => mark.timeout === 0);
    if (givenBack) this.#bus.signalQueues([givenBack.queueId]);
    return handles.map(({ bit }, index) =>
      ((doneByKey.get(markOf[index] ?? "") ?? 0n) >> BigInt(bit)) & 1n ? undefined : notInFlight(),
    );
  }
}

/**
 * Moves deadlines, and returns the bits done for each mark.
 *
 * Marks that name the same slice with different timeouts go down one statement after the other: a statement can change a
 * row once only.
 */
export async function moveDeadlines(sql: Sql, marks: readonly DeadlineMark[]): Promise<bigint[]> {
  const done = marks.map(() => 0n);
  let left = marks.map((mark, index) => ({ mark, index }));
  while (left.length > 0) {
    const slices = new Set<string>();
    const later: typeof left = [];
    const round = left.filter((entry) => {
      // A slice that was moved and split before may be found by several of its old deadlines.
      const slice = `${entry.mark.queueId}/${entry.mark.batchId}`;
      if (slices.has(slice)) later.push(entry);
      slices.add(slice);
      return !later.includes(entry);
    });
    const results = await applyMarks(
      round.map((entry) => entry.mark),
      (some, lookup) => moveDeadline(sql, some as DeadlineMark[], lookup),
    );
    round.forEach((entry, position) => {
      done[entry.index] = results[position] ?? 0n;
    });
    left = later;
  }
  return done;
}

function notInFlight(): EntryError {
  return {
    code: "message_not_in_flight",
    message:
      "this receive no longer holds the message: it was acknowledged, or its visibility timeout ran out",
  };
}
