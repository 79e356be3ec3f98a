import { isLockNotAvailable, type Sql, type Statement } from "@sluice/database";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { writeTogether } from "../acknowledge/write-together.ts";
import { applyMarks, type AppliedMark, type Lookup } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { claim, type Claim, type ClaimRequest } from "../receive/claim.ts";
import { ByQueue } from "../write/by-queue.ts";
import { GroupCommit } from "../write/group-commit.ts";
import { SOON, type LockWaits } from "../write/lock-waits.ts";

/** Most slices that one statement looks at, and marks that it applies, for however many queues and calls. */
export const MAX_ROUND_SLICES = 2_000;
export const MAX_ROUND_MARKS = 2_000;
/** Marks that may wait for their statement; more are refused. Claims are bounded by the queues: each has one at a time. */
export const MAX_WAITING_MARKS = 200_000;

export type Marks = readonly SliceMark[];

/** One statement that stores messages. */
export interface Store<Result> {
  /** Where they will be received, as far as that is known. */
  queueIds: readonly string[];
  /** How much it is, in characters. */
  length: number;
  statement: (sql: Sql) => Statement<Result>;
}

export interface Stored<Result> {
  result: Result;
  /** Queues of which receives of this process got all there was by the same commit, what it stored among it: nobody need be told of it. */
  emptied: ReadonlySet<string>;
}

export interface ClaimItem {
  request: ClaimRequest;
  /** Called as its statement begins: what is stored from now on it may not see. */
  begins: () => void;
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Does by statements of their own, on connections of the pool, what does not go with a round (see Rounds): each store by itself, claims and
 * acknowledgements with others of their kind.
 *
 * The acknowledgements of all queues share a statement, which gives up a lock soon; then, and until they are done, those of each queue go by
 * themselves. By queue always would cost: eight batches of each of ten queues took 6.3 and 7.0 ms instead of 2.9 (median, twice). That it gives up soon
 * costs nothing that could be measured.
 */
export class Apart {
  readonly #sql: Sql;
  /** Of all queues; they resolve with what may still be under way. */
  readonly #calls: GroupCommit<Marks, Promise<bigint[]>>;
  /** Where one of them met a lock. */
  readonly #callsByQueue: ByQueue<Marks, bigint[]>;
  readonly #claims: GroupCommit<ClaimItem, Claim>;

  /** @param sql - Waits for locks. */
  constructor(sql: Sql, waits: LockWaits) {
    this.#sql = sql;
    const ofCalls = {
      weigh: (marks: Marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
    };
    this.#calls = new GroupCommit({
      write: (calls) => this.#acknowledgeTogether(calls),
      ...ofCalls,
    });
    this.#callsByQueue = new ByQueue({
      write: (calls) =>
        writeTogether(calls, (marks) =>
          applyMarks(marks, (some, lookup) =>
            waits.run((lockTimeout) => deleteAcknowledged(sql, some, lookup, lockTimeout).send()),
          ),
        ),
      ...ofCalls,
    });
    this.#claims = new GroupCommit({
      write: (items) => {
        for (const { begins } of items) begins();
        const requests = items.map(({ request }) => request);
        return claim(sql, requests);
      },
      weigh: ({ request }) => request.slices,
      maxRound: MAX_ROUND_SLICES,
      maxWaiting: Infinity,
    });
  }

  async store<Result>({ statement }: Store<Result>): Promise<Stored<Result>> {
    return { result: await statement(this.#sql).send(), emptied: NONE };
  }

  claim(item: ClaimItem): Promise<Claim> {
    return this.#claims.add(item);
  }

  /**
   * @param marks - All of one queue
   * @throws {SluiceError} `too_many_requests` when too many are waiting
   */
  async acknowledge(marks: Marks): Promise<bigint[]> {
    const [mark] = marks;
    if (mark && this.#callsByQueue.has(mark.queueId)) return await this.#byQueue(marks);
    return await this.#calls.add(marks);
  }

  /** Whether an acknowledgement of this queue has met a lock, and is not done yet. */
  isHeldUp(queueId: string): boolean {
    return this.#callsByQueue.has(queueId);
  }

  async #acknowledgeTogether(calls: readonly Marks[]): Promise<Promise<bigint[]>[]> {
    let isLocked = false;
    const deleteSoon = async (marks: Marks, lookup: Lookup): Promise<AppliedMark[]> => {
      if (isLocked) return [];
      try {
        return await deleteAcknowledged(this.#sql, marks, lookup, SOON).send();
      } catch (error) {
        if (!isLockNotAvailable(error)) throw error;
        isLocked = true;
        return [];
      }
    };
    const parts = await writeTogether(calls, (marks) => applyMarks(marks, deleteSoon));
    return calls.map(async (marks, index) => {
      const done = parts[index] ?? [];
      return isLocked ? await finish(marks, done, (left) => this.#byQueue(left)) : done;
    });
  }

  async #byQueue(marks: Marks): Promise<bigint[]> {
    return await this.#callsByQueue.add(marks[0]?.queueId ?? "", marks);
  }

  /** Resolves when no claim and no acknowledgement is waiting or being written. */
  async idle(): Promise<void> {
    await this.#claims.idle();
    await this.#calls.idle();
    await this.#callsByQueue.idle();
  }
}

/** The bits of each mark that are gone: those that are done, and those that another look finds where they are not all. */
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
