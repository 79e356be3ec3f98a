import type { Sql, Statement } from "@sluice/database";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { writeTogether } from "../acknowledge/write-together.ts";
import { applyMarks } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { claim, type Claim, type ClaimRequest } from "../receive/claim.ts";
import { GroupCommit } from "../write/group-commit.ts";

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
 */
export class Apart {
  readonly #sql: Sql;
  readonly #calls: GroupCommit<Marks, bigint[]>;
  readonly #claims: GroupCommit<ClaimItem, Claim>;

  /** @param sql - Waits for locks. */
  constructor(sql: Sql) {
    this.#sql = sql;
    this.#calls = new GroupCommit({
      write: (calls) =>
        writeTogether(calls, (marks) =>
          applyMarks(marks, (some, lookup) => deleteAcknowledged(sql, some, lookup).send()),
        ),
      weigh: (marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
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

  /** @throws {SluiceError} `too_many_requests` when too many are waiting */
  acknowledge(marks: Marks): Promise<bigint[]> {
    return this.#calls.add(marks);
  }

  /** Resolves when no claim and no acknowledgement is waiting or being written. */
  async idle(): Promise<void> {
    await this.#claims.idle();
    await this.#calls.idle();
  }
}
