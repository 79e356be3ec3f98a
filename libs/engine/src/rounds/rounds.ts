import { isLockNotAvailable, type Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { mergeMarks, writeTogether } from "../acknowledge/write-together.ts";
import { applyMarks, type AppliedMark } from "../receipt-handle/apply-marks.ts";
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
/** How long acknowledgements go apart after one met a lock, in ms: whoever has locked many slices of a queue stops others of them. */
const APART_AFTER_LOCK = 1_000;
/** How long acknowledgements wait for a round before they go apart, in ms. */
const PATIENCE = 100;

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
 * Neither holds up the other for long: claims skip what is locked, so an acknowledgement that meets a lock is left to a statement of
 * its own, as those after it are for a while; and so are those that wait for a round that takes its time.
 */
export class Rounds {
  readonly #sql: Sql;
  readonly #impatient: Sql;
  #claims: WaitingClaim[] = [];
  #calls: WaitingCall[] = [];
  #waitingMarks = 0;
  #running: Promise<void> | undefined;
  readonly #apartCalls: GroupCommit<Marks, bigint[]>;
  #apartUntil = 0;
  #isSlow = false;

  /**
   * @param sql - Waits for locks.
   * @param impatient - Gives up soon.
   */
  constructor({ sql, impatient }: { sql: Sql; impatient: Sql }) {
    this.#sql = sql;
    this.#impatient = impatient;
    this.#apartCalls = new GroupCommit({
      write: (calls) =>
        writeTogether(calls, (marks) =>
          applyMarks(marks, (some, lookup) => deleteAcknowledged(sql, some, lookup)),
        ),
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
    if (this.#isSlow) return this.#apartCalls.add(item);
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
      const patience = setTimeout(() => {
        this.#isSlow = true;
        this.#acknowledgeApart(this.#takeCalls());
      }, PATIENCE);
      try {
        if (!(await this.#together(claims, calls))) await this.#apart(claims, calls);
      } catch (error) {
        for (const { reject } of [...claims, ...calls]) reject(error);
      } finally {
        clearTimeout(patience);
        this.#isSlow = false;
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
    if (performance.now() < this.#apartUntil) return false;
    failpoint("acknowledge.before-commit");
    const first = await this.#first(
      claims.map(({ item }) => item),
      marks,
    );
    if (first === undefined) return false;
    failpoint("acknowledge.committed");
    claims.forEach(({ resolve }, index) => resolve(first.claims[index] as Claim));
    const parts = this.#finish(marks, first.applied).then(partOf);
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
      if (!isLockNotAvailable(error)) throw error;
      this.#apartUntil = performance.now() + APART_AFTER_LOCK;
      return undefined;
    }
  }

  /** The bits of each mark that are gone. Nearly always the first look did it all; what it left is looked for apart. */
  async #finish(marks: Marks, applied: readonly AppliedMark[]): Promise<bigint[]> {
    const done = marks.map(() => 0n);
    for (const row of applied) {
      if (row.applied) done[row.position - 1]! |= BigInt(row.done);
    }
    const left = marks.flatMap((mark, index) => {
      const mask = mark.mask & ~done[index]!;
      return mask === 0n ? [] : [{ index, mark: { ...mark, mask } }];
    });
    if (left.length === 0) return done;
    const found = await this.#apartCalls.add(left.map(({ mark }) => mark));
    left.forEach(({ index }, place) => (done[index]! |= found[place]!));
    return done;
  }

  /** Claims now; acknowledgements beside them, in rounds of their own that no claim waits for. */
  async #apart(claims: readonly WaitingClaim[], calls: readonly WaitingCall[]): Promise<void> {
    this.#acknowledgeApart(calls);
    if (claims.length === 0) return;
    const found = await claim(
      this.#sql,
      claims.map(({ item }) => item),
    );
    claims.forEach(({ resolve }, index) => resolve(found[index] as Claim));
  }

  #acknowledgeApart(calls: readonly WaitingCall[]): void {
    for (const { item, resolve } of calls) resolve(this.#apartCalls.add(item));
  }
}
