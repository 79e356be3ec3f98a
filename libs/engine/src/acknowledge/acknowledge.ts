import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Directory } from "../directory/directory.ts";
import type { EntryError } from "../errors.ts";
import type { Observer } from "../observer.ts";
import type { Queue } from "../queues/queues.ts";
import { applyMarks } from "../receipt-handle/apply-marks.ts";
import { noLongerHeld, readHandles, readReceipts } from "../receipt-handle/read-handles.ts";
import type { ReceiptHandles } from "../receipt-handle/receipt-handle.ts";
import type { MarkedReceipt } from "../receipt-handle/read-handles.ts";
import { markSlices, sliceKey, type SliceMark } from "../receipt-handle/slice-marks.ts";
import { bitCount } from "../receive/queue-claimer.ts";
import { GroupCommit } from "../write/group-commit.ts";
import { deleteAcknowledged } from "./delete-acknowledged.ts";

const MAX_ROUND_MARKS = 2_000;
const MAX_WAITING_MARKS = 200_000;

/**
 * Acknowledges: a message is gone for good once its result is there.
 *
 * Acknowledgements of all queues that arrive while one statement is under way share the next, as publishes do.
 */
export class Acknowledger {
  readonly #queues: Directory<Queue>;
  readonly #handles: ReceiptHandles;
  readonly #observer: Observer;
  readonly #commits: GroupCommit<readonly SliceMark[], bigint[]>;

  constructor(options: {
    sql: Sql;
    queues: Directory<Queue>;
    handles: ReceiptHandles;
    observer: Observer;
  }) {
    this.#queues = options.queues;
    this.#handles = options.handles;
    this.#observer = options.observer;
    this.#commits = new GroupCommit({
      write: (calls) => writeTogether(options.sql, calls),
      weigh: (marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
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
    const read = await this.#queues.use(account, queueName, (queue) =>
      readHandles(this.#handles, queue.id, handles, (index) => `receiptHandles.${index}`),
    );
    const { marks, markOf } = markSlices(read);
    const done = await this.#commits.add(marks);
    const results = read.map(({ bit }, index) =>
      ((done[markOf[index] ?? 0] ?? 0n) >> BigInt(bit)) & 1n ? undefined : noLongerHeld(),
    );
    this.#observer.acknowledged(results.filter((result) => result === undefined).length);
    return results;
  }

  /**
   * The same for messages named by the receipts they came under: the messages of each receipt that are gone, as bits. What
   * it costs is per receipt.
   * @throws {SluiceError} `queue_not_found`, `receipt_handle_invalid`, `too_many_requests`, `unavailable`
   */
  async acknowledgeReceipts(
    account: string,
    queueName: string,
    receipts: readonly MarkedReceipt[],
  ): Promise<bigint[]> {
    const marks = await this.#queues.use(account, queueName, (queue) =>
      readReceipts(this.#handles, queue.id, receipts),
    );
    const done = await this.#commits.add(marks);
    this.#observer.acknowledged(done.reduce((sum, bits) => sum + bitCount(bits), 0));
    return done;
  }

  idle(): Promise<void> {
    return this.#commits.idle();
  }
}

/**
 * Several calls may mark one slice (its messages went to several receivers): their marks become one, and each call is
 * told about its own bits. Rows are taken in index order, so that two processes do not wait for each other in a circle.
 */
async function writeTogether(sql: Sql, calls: (readonly SliceMark[])[]): Promise<bigint[][]> {
  const merged = new Map<string, SliceMark>();
  for (const mark of calls.flat()) {
    const key = sliceKey(mark);
    const known = merged.get(key);
    if (known) known.mask |= mark.mask;
    else merged.set(key, { ...mark });
  }
  const marks = [...merged.values()].sort(inIndexOrder);
  failpoint("acknowledge.before-commit");
  const done = await applyMarks(marks, (some, lookup) => deleteAcknowledged(sql, some, lookup));
  failpoint("acknowledge.committed");
  const doneByKey = new Map(marks.map((mark, index) => [sliceKey(mark), done[index] ?? 0n]));
  return calls.map((call) => call.map((mark) => (doneByKey.get(sliceKey(mark)) ?? 0n) & mark.mask));
}

function inIndexOrder(a: SliceMark, b: SliceMark): number {
  return (
    Number(a.queueId) - Number(b.queueId) ||
    a.visibleAt - b.visibleAt ||
    Number(a.batchId) - Number(b.batchId)
  );
}
