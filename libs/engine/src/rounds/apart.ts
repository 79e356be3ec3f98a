import { sendNothingBehind, type Sql, type Statement } from "@sluice/database";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { SharedAcknowledgements, type Marks } from "../acknowledge/shared-acknowledgements.ts";
import { applyMarks } from "../receipt-handle/apply-marks.ts";
import { claim, type ClaimRequest } from "../receive/claim.ts";
import type { Claim } from "../receive/claimed-slice.ts";
import { GroupCommit } from "../write/group-commit.ts";
import type { LockWaits } from "../write/lock-waits.ts";

/**
 * Most slices that one statement looks at, for however many queues. How many claims wait is bounded by the queues: each
 * has one at a time.
 */
export const MAX_ROUND_SLICES = 2_000;

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
  /**
   * Queues of which receives of this process got all there was by the same commit, what it stored among it: nobody need
   * be told of it.
   */
  emptied: ReadonlySet<string>;
}

export interface ClaimItem {
  request: ClaimRequest;
  /** Called as its statement begins: what is stored from now on it may not see. */
  begins: () => void;
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Does by statements of their own, on connections of the pool, what does not go with a round (see Rounds): each store
 * by itself, claims and acknowledgements with others of their kind.
 */
export class Apart {
  readonly #sql: Sql;
  readonly #acknowledgements: SharedAcknowledgements;
  readonly #claims: GroupCommit<ClaimItem, Claim>;

  /** @param sql - Waits for locks. */
  constructor(sql: Sql, waits: LockWaits) {
    this.#sql = sql;
    this.#acknowledgements = new SharedAcknowledgements(waits, (marks, send) =>
      applyMarks(marks, async (some, lookup) => {
        const remove = (lockTimeout?: string) => {
          const statement = deleteAcknowledged(sql, some, lookup, lockTimeout);
          if (lockTimeout === undefined) sendNothingBehind(statement.query);
          return statement.send();
        };
        return (await send(remove)) ?? [];
      }),
    );
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
  acknowledge(marks: Marks): Promise<bigint[]> {
    return this.#acknowledgements.add(marks);
  }

  /** Whether an acknowledgement of this queue has met a lock, and is not done yet. */
  isHeldUp(queueId: string): boolean {
    return this.#acknowledgements.isHeldUp(queueId);
  }

  /** Resolves when no claim and no acknowledgement is waiting or being written. */
  async idle(): Promise<void> {
    await this.#claims.idle();
    await this.#acknowledgements.idle();
  }
}
