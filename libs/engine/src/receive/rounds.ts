import { isLockNotAvailable, type Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { mergeMarks, writeTogether } from "../acknowledge/write-together.ts";
import { applyMarks, type AppliedMark, type MarkStatement } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { GroupCommit, tooMuchWaiting } from "../write/group-commit.ts";
import { claim, claimAndAcknowledge, type Claim, type ClaimRequest } from "./claim.ts";

/** Most slices that one statement looks at, and marks that it applies, for however many queues and calls. */
const MAX_ROUND_SLICES = 2_000;
export const MAX_ROUND_MARKS = 2_000;
/** Marks that may wait for their statement; more are refused. Claims are bounded by the queues: each has one at a time. */
export const MAX_WAITING_MARKS = 200_000;
/** Acknowledgements of more slices than this go beside the claims of their round: two connections do more than one. */
const MAX_SHARED_MARKS = 64;

type Marks = readonly SliceMark[];

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result | Promise<Result>) => void;
  reject: (error: unknown) => void;
}

type WaitingClaim = Waiting<ClaimRequest, Claim>;
type WaitingCall = Waiting<Marks, bigint[]>;

/**
 * The claims and acknowledgements of standard queues in this process: whatever comes while one statement is under way shares the
 * next, the ones with the others.
 *
 * A consumer that receives and acknowledges in one call, or in two at once, costs one statement and one flush of the log: Postgres
 * writes the commits of two connections to the disk one after the other.
 *
 * Claims wait for nobody's locks. So an acknowledgement that meets one is left to a statement of its own, and holds up no claim.
 */
export class Rounds {
  readonly #sql: Sql;
  readonly #impatient: Sql;
  #claims: WaitingClaim[] = [];
  #calls: WaitingCall[] = [];
  #waitingMarks = 0;
  #running: Promise<void> | undefined;
  readonly #apartCalls: GroupCommit<Marks, bigint[]>;
  readonly #statement: MarkStatement;

  /**
   * @param sql - Waits for locks.
   * @param impatient - Gives up soon.
   */
  constructor({ sql, impatient }: { sql: Sql; impatient: Sql }) {
    this.#sql = sql;
    this.#impatient = impatient;
    this.#statement = (marks, lookup) => deleteAcknowledged(sql, marks, lookup);
    this.#apartCalls = new GroupCommit({
      write: (calls) => writeTogether(calls, (marks) => applyMarks(marks, this.#statement)),
      weigh: (marks) => marks.length,
      maxRound: MAX_ROUND_MARKS,
      maxWaiting: MAX_WAITING_MARKS,
    });
  }

  /** Claims for one queue. */
  claim(item: ClaimRequest): Promise<Claim> {
    return new Promise((resolve, reject) => {
      this.#claims.push({ item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * The bits of each mark that are gone.
   * @throws {SluiceError} `too_many_requests` when too many are waiting
   */
  acknowledge(item: Marks): Promise<bigint[]> {
    if (this.#waitingMarks > 0 && this.#waitingMarks + item.length > MAX_WAITING_MARKS)
      return Promise.reject(tooMuchWaiting());
    return new Promise((resolve, reject) => {
      this.#calls.push({ item, resolve, reject });
      this.#waitingMarks += item.length;
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
    await this.#apartCalls.idle();
  }

  /**
   * One round at a time. One message a publish to ten queues (`npm run bench -- small`): two at once cost Postgres a third more for each
   * message, three two thirds, and deliver no more.
   */
  async #run(): Promise<void> {
    // Calls of the same tick share the first round too.
    await Promise.resolve();
    while (this.#claims.length > 0 || this.#calls.length > 0) {
      const claims = this.#takeClaims();
      const calls = this.#takeCalls();
      try {
        if (!(await this.#together(claims, calls))) await this.#apart(claims, calls);
      } catch (error) {
        for (const { reject } of [...claims, ...calls]) reject(error);
      }
    }
    this.#running = undefined;
  }

  #takeClaims(): WaitingClaim[] {
    let slices = 0;
    const end = this.#claims.findIndex(({ item }, index) => {
      slices += item.slices;
      return index > 0 && slices > MAX_ROUND_SLICES;
    });
    return this.#claims.splice(0, end < 0 ? this.#claims.length : end);
  }

  /** All of them, however many claims wait. */
  #takeCalls(): WaitingCall[] {
    const calls = this.#calls;
    this.#calls = [];
    this.#waitingMarks = 0;
    return calls;
  }

  /** By one statement; false where that is not the way, and nothing was done. */
  async #together(
    claims: readonly WaitingClaim[],
    calls: readonly WaitingCall[],
  ): Promise<boolean> {
    const { marks, partOf } = mergeMarks(calls.map(({ item }) => item));
    if (marks.length === 0 || marks.length > MAX_SHARED_MARKS) return false;
    failpoint("acknowledge.before-commit");
    const first = await this.#first(
      claims.map(({ item }) => item),
      marks,
    );
    if (first === undefined) return false;
    failpoint("acknowledge.committed");
    claims.forEach(({ resolve }, index) => resolve(first.claims[index] as Claim));
    // Nearly always that was all; what it left is looked for while the next round goes on.
    const parts = applyMarks(marks, this.#statement, first.applied).then(partOf);
    calls.forEach(({ resolve }, index) => resolve(parts.then((all) => all[index] ?? [])));
    return true;
  }

  async #first(
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

  /** Claims now; acknowledgements beside them, in rounds of their own that no claim waits for. */
  async #apart(claims: readonly WaitingClaim[], calls: readonly WaitingCall[]): Promise<void> {
    for (const { item, resolve } of calls) resolve(this.#apartCalls.add(item));
    if (claims.length === 0) return;
    const found = await claim(
      this.#sql,
      claims.map(({ item }) => item),
    );
    claims.forEach(({ resolve }, index) => resolve(found[index] as Claim));
  }
}
