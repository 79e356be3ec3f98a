import { isLockNotAvailable, type Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { mergeMarks, writeTogether } from "../acknowledge/write-together.ts";
import { applyMarks, type AppliedMark, type MarkStatement } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { GroupCommit } from "../write/group-commit.ts";
import { claim, claimAndAcknowledge, type Claim, type ClaimRequest } from "./claim.ts";

/** Most slices that one statement looks at, and marks that it applies, for however many queues and calls. */
const MAX_ROUND_SLICES = 2_000;
export const MAX_ROUND_MARKS = 2_000;
/** Marks that may wait; more are refused. What waits for a claim is bounded by the queues: each has one at a time. */
export const MAX_WAITING_MARKS = 200_000;
/** Acknowledgements of more slices than this go beside the claims of their round: two connections then do what one would. */
const MAX_SHARED_MARKS = 64;

type Marks = readonly SliceMark[];

/** One of the two. */
type Work = { request: ClaimRequest; marks?: undefined } | { request?: undefined; marks: Marks };

type Outcome = Claim | bigint[] | Promise<bigint[]>;

/**
 * The claims and acknowledgements of standard queues in this process: whatever comes while one statement is under way shares the
 * next, the ones and the others.
 *
 * A consumer that receives and acknowledges in one call, or in two at once, costs one statement and one flush of the log: PostgreSQL writes
 * the commits of two connections to the disk one after the other.
 *
 * Claims wait for nobody's locks. So an acknowledgement that meets a lock is left to a statement of its own, and holds up no claim.
 */
export class Rounds {
  readonly #sql: Sql;
  readonly #impatient: Sql;
  readonly #rounds: GroupCommit<Work, Outcome>;
  readonly #acknowledgements: GroupCommit<Marks, bigint[]>;
  readonly #acknowledge: MarkStatement;

  /**
   * @param sql - Waits for locks.
   * @param impatient - Gives up soon.
   */
  constructor({ sql, impatient }: { sql: Sql; impatient: Sql }) {
    this.#sql = sql;
    this.#impatient = impatient;
    this.#sql = sql;
    this.#impatient = impatient;
    this.#acknowledge = (marks, lookup) => deleteAcknowledged(sql, marks, lookup);
    this.#acknowledgements = new GroupCommit({
      write: (calls) => writeTogether(calls, (marks) => applyMarks(marks, this.#acknowledge)),
      weigh: (marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
    });
    // One message a publish to ten queues (`npm run bench -- small`): two rounds at once cost Postgres a third more for each message, three two
    // thirds, and deliver no more.
    this.#rounds = new GroupCommit({
      write: (works) => this.#write(works),
      weigh: ({ request, marks }) => (request ? request.slices : marks.length),
      maxRound: MAX_ROUND_SLICES,
      maxWaiting: MAX_WAITING_MARKS,
    });
  }

  /** Claims for one queue. */
  async claim(request: ClaimRequest): Promise<Claim> {
    return (await this.#rounds.add({ request })) as Claim;
  }

  /** The bits of each mark that are gone. */
  async acknowledge(marks: Marks): Promise<bigint[]> {
    return (await this.#rounds.add({ marks })) as bigint[];
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    await this.#rounds.idle();
    await this.#acknowledgements.idle();
  }

  async #write(works: readonly Work[]): Promise<(Outcome | Error)[]> {
    const requests = works.flatMap(({ request }) => request ?? []);
    const calls = works.flatMap(({ marks }) => (marks ? [marks] : []));
    const { claims, acknowledged } =
      (await this.#shared(requests, calls)) ?? (await this.#apart(requests, calls));
    let nextClaim = 0;
    let nextCall = 0;
    return works.map(({ request }) => {
      const outcome = request ? claims[nextClaim++] : acknowledged[nextCall++];
      return outcome ?? new Error("a statement has no result");
    });
  }

  /** By one statement; undefined where that is not the way, and nothing was done. */
  async #shared(
    requests: readonly ClaimRequest[],
    calls: readonly Marks[],
  ): Promise<Outcomes | undefined> {
    const size = calls.reduce((sum, marks) => sum + marks.length, 0);
    if (size === 0 || size > MAX_SHARED_MARKS) return undefined;
    const { marks, partOf } = mergeMarks(calls);
    failpoint("acknowledge.before-commit");
    const first = await this.#claimAndAcknowledge(requests, marks);
    if (first === undefined) return undefined;
    failpoint("acknowledge.committed");
    // Nearly always that was all; what it left is looked for while the next round goes on.
    const done = applyMarks(marks, this.#acknowledge, first.applied).then(partOf);
    const acknowledged = calls.map(async (_, index) => (await done)[index] ?? []);
    return { claims: first.claims, acknowledged: acknowledged.map(watched) };
  }

  async #claimAndAcknowledge(
    requests: readonly ClaimRequest[],
    marks: Marks,
  ): Promise<{ claims: Claim[]; applied: AppliedMark[] } | undefined> {
    try {
      if (requests.length > 0) return await claimAndAcknowledge(this.#impatient, requests, marks);
      return { claims: [], applied: await deleteAcknowledged(this.#impatient, marks, "exact") };
    } catch (error) {
      if (isLockNotAvailable(error)) return undefined;
      throw error;
    }
  }

  /** Claims now; acknowledgements beside them, by rounds of their own that claims do not wait for. */
  async #apart(requests: readonly ClaimRequest[], calls: readonly Marks[]): Promise<Outcomes> {
    const acknowledged = calls.map((marks) => watched(this.#acknowledgements.add(marks)));
    if (requests.length === 0) return { claims: [], acknowledged };
    const claims = await claim(this.#sql, requests).catch((error: unknown) =>
      requests.map(() => error as Error),
    );
    return { claims, acknowledged };
  }
}

interface Outcomes {
  claims: readonly (Claim | Error)[];
  /** A promise may be done later than its round. */
  acknowledged: readonly Promise<bigint[]>[];
}

/** It may fail before whoever it is for awaits it. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
