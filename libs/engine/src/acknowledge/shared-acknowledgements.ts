import { isLockNotAvailable } from "@sluice/database";

import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { ByQueue } from "../write/by-queue.ts";
import { GroupCommit } from "../write/group-commit.ts";
import { SOON, type LockWaits } from "../write/lock-waits.ts";
import { writeTogether } from "./write-together.ts";

/** Most marks that one statement applies, for however many queues and calls. */
export const MAX_ROUND_MARKS = 2_000;
/** Marks that may wait for their statement; more are refused. */
export const MAX_WAITING_MARKS = 200_000;

export type Marks = readonly SliceMark[];

/**
 * Sends what waits for locks for so long, or as long as it may; undefined when it met one, and has done nothing for
 * now.
 */
export type Send = <Result>(
  statement: (lockTimeout?: string) => Promise<Result>,
) => Promise<Result | undefined>;

/**
 * Acknowledgements that share statements with others that come while one is under way: of all queues, and giving up a
 * lock soon. Where one meets a lock those of each queue go by themselves, until they are done: whoever has locked
 * slices of one queue holds up no other.
 *
 * By queue always would cost: eight batches of each of ten queues took 6.3 and 7.0 ms instead of 2.9 (median, twice).
 * That a statement gives up soon costs nothing that could be measured.
 */
export class SharedAcknowledgements {
  /** They resolve with what may still be under way. */
  readonly #ofAll: GroupCommit<Marks, Promise<bigint[]>>;
  readonly #byQueue: ByQueue<Marks, bigint[]>;

  /** @param write - Tells the bits of each mark that are gone. What it has sent in vain may be left out. */
  constructor(waits: LockWaits, write: (marks: Marks, send: Send) => Promise<bigint[]>) {
    const options = {
      weigh: (marks: Marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
    };
    this.#ofAll = new GroupCommit({ write: (calls) => this.#writeAll(calls, write), ...options });
    this.#byQueue = new ByQueue({
      write: (calls) =>
        writeTogether(calls, (marks) => write(marks, (statement) => waits.run(statement))),
      ...options,
    });
  }

  /**
   * @param marks - All of one queue
   * @throws {SluiceError} `too_many_requests` when too many are waiting
   */
  async add(marks: Marks): Promise<bigint[]> {
    const [mark] = marks;
    if (mark && this.isHeldUp(mark.queueId)) return await this.#byQueue.add(mark.queueId, marks);
    return await this.#ofAll.add(marks);
  }

  /** Whether an acknowledgement of this queue has met a lock, and is not done yet. */
  isHeldUp(queueId: string): boolean {
    return this.#byQueue.has(queueId);
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    await this.#ofAll.idle();
    await this.#byQueue.idle();
  }

  async #writeAll(
    calls: readonly Marks[],
    write: (marks: Marks, send: Send) => Promise<bigint[]>,
  ): Promise<Promise<bigint[]>[]> {
    let isLocked = false;
    const send: Send = async (statement) => {
      if (isLocked) return undefined;
      try {
        return await statement(SOON);
      } catch (error) {
        if (!isLockNotAvailable(error)) throw error;
        isLocked = true;
        return undefined;
      }
    };
    const parts = await writeTogether(calls, (marks) => write(marks, send));
    const look = (left: Marks) => this.#byQueue.add(left[0]?.queueId ?? "", left);
    return calls.map(async (marks, index) => {
      const done = parts[index] ?? [];
      return isLocked ? await finish(marks, done, look) : done;
    });
  }
}

/**
 * The bits of each mark that are gone: those that are done, and those that another look finds where they are not all.
 */
export async function finish(
  marks: Marks,
  done: readonly bigint[],
  look: (left: Marks) => Promise<bigint[]>,
): Promise<bigint[]> {
  const all = marks.map((_, index) => done[index] ?? 0n);
  const left = marks.flatMap((mark, index) => {
    const mask = mark.mask & ~all[index]!;
    return mask === 0n ? [] : [{ index, mark: { ...mark, mask } }];
  });
  if (left.length === 0) return all;
  const found = await look(left.map(({ mark }) => mark));
  left.forEach(({ index }, place) => (all[index]! |= found[place] ?? 0n));
  return all;
}
