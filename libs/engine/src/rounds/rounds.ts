import { setImmediate } from "node:timers/promises";

import {
  classifyFailure,
  type Outcome,
  type SharedConnection,
  type Sql,
  type Statement,
} from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import { deleteAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import { finish, MAX_WAITING_MARKS, type Marks } from "../acknowledge/shared-acknowledgements.ts";
import { mergeMarks, type MergedMarks } from "../acknowledge/write-together.ts";
import type { AppliedMark } from "../receipt-handle/apply-marks.ts";
import { claim, claimAndAcknowledge, type ClaimRequest } from "../receive/claim.ts";
import type { Claim } from "../receive/claimed-slice.ts";
import { tooMuchWaiting } from "../write/group-commit.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { isTooLate, tooLate } from "../write/too-late.ts";
import { Apart, MAX_ROUND_SLICES, type ClaimItem, type Store, type Stored } from "./apart.ts";
import { Gathering } from "./gathering.ts";

/** Acknowledgements of more slices than this go beside the others of their round: two connections do more than one. */
const MAX_SHARED_MARKS = 64;
/** So do stores of more than this, in characters: */
const MAX_SHARED_LENGTH = 64 * 1024;
/**
 * After a round that stored more than this, in characters, the next one waits for nobody: bulk is bounded by what it
 * carries.
 */
const MAX_GATHERED_LENGTH = 16 * 1024;
/**
 * How long everything goes apart after one met a lock or took too long, in ms: whoever has locked many slices of a
 * queue stops others of them.
 */
const APART_AFTER_LOCK = 1_000;
/**
 * The same after Postgres refused one, as it does a repeat: whoever sends many of them undoes no more than a round each
 * time.
 */
const APART_AFTER_REFUSAL = 100;
/** How long what waits for a round waits before it goes apart, in ms. */
const PATIENCE = 100;

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result | Promise<Result>) => void;
  reject: (error: unknown) => void;
}

type WaitingStore = Waiting<Store<unknown>, Stored<unknown>> & { since: number };
type WaitingClaim = Waiting<ClaimItem, Claim>;
type WaitingAcknowledgement = Waiting<Marks, bigint[]>;

interface Round {
  /** How much waited as it was gathered; see Rounds. */
  parts: number;
  stores: WaitingStore[];
  claims: WaitingClaim[];
  acknowledgements: WaitingAcknowledgement[];
}

type Failure = Extract<Outcome<unknown>, { error: unknown }>;

export interface RoundsOptions {
  /** Waits for locks. */
  sql: Sql;
  waits: LockWaits;
  /** Gives up soon. */
  shared: SharedConnection;
  /** Has receives that wait for messages of these queues claim, and tells whether there are any. */
  ask: (queueIds: readonly string[]) => boolean;
}

/**
 * Publishes, sends, claims and acknowledgements of standard topics and queues in this process: whatever comes while one
 * round is under way shares the next, and so its commit. First the messages are stored, then claimed: a receive that
 * waits has a message by the commit that stores it.
 *
 * A message that is published, received and acknowledged costs two flushes of the log at most, and one for each step
 * where nothing else goes on; Postgres writes the commits of two connections to the disk one after the other. Measured
 * with 1,000 publishes a second to ten queues: a third fewer flushes, a quarter less CPU of Postgres; a message alone
 * is received in 3.0 ms instead of 4.4.
 *
 * None holds up the others for long: claims skip what is locked, so a round that meets a lock, or takes a second, is
 * undone, and each of its parts left to a statement of its own, as those after it are for a while; and what waits for a
 * round that takes its time goes by other connections. What was sent behind it within its first milliseconds shares its
 * lot.
 */
export class Rounds {
  readonly #options: RoundsOptions;
  readonly #apart: Apart;
  #stores: WaitingStore[] = [];
  #claims: WaitingClaim[] = [];
  #acknowledgements: WaitingAcknowledgement[] = [];
  #waitingMarks = 0;
  #running: Promise<void> | undefined;
  readonly #gathering = new Gathering();
  #apartUntil = 0;
  #patience: NodeJS.Timeout | undefined;
  /** Whether the round whose turn it is takes its time. */
  #isSlow = false;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#apart = new Apart(options.sql, options.waits);
  }

  /** Stores messages. Whoever calls it bounds how much waits. */
  store<Result>(item: Store<Result>): Promise<Stored<Result>> {
    if (this.#isSlow || this.#goApart || item.length > MAX_SHARED_LENGTH) {
      return this.#apart.store(item);
    }
    return new Promise<Stored<unknown>>((resolve, reject) => {
      this.#stores.push({ item, since: performance.now(), resolve, reject });
      this.#came();
    }) as Promise<Stored<Result>>;
  }

  /** Claims for one queue. */
  claim(request: ClaimRequest, begins: () => void): Promise<Claim> {
    const item = { request, begins };
    if (this.#isSlow) return this.#apart.claim(item);
    return new Promise((resolve, reject) => {
      this.#claims.push({ item, resolve, reject });
      this.#came();
    });
  }

  /**
   * The bits of each mark that are gone.
   * @throws {SluiceError} `too_many_requests` when too many are waiting
   */
  acknowledge(item: Marks): Promise<bigint[]> {
    if (this.#waitingMarks > 0 && this.#waitingMarks + item.length > MAX_WAITING_MARKS)
      return Promise.reject(tooMuchWaiting());
    if (this.#isSlow || (item[0] && this.#apart.isHeldUp(item[0].queueId)))
      return this.#apart.acknowledge(item);
    return new Promise((resolve, reject) => {
      this.#acknowledgements.push({ item, resolve, reject });
      this.#waitingMarks += item.length;
      this.#came();
    });
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
    await this.#apart.idle();
  }

  get #goApart(): boolean {
    return performance.now() < this.#apartUntil;
  }

  /**
   * Rounds go one behind the other over their connection. As soon as about as much waits as is in the last one, the
   * next is sent, though that is still under way: so Postgres has one to begin with while the API sees to the answers
   * of the other.
   *
   * Measured with `npm run bench -- small`, in pairs: with one receive under way on each queue 35,000 and 36,200
   * messages a second instead of 28,100 and 31,300; with four, where both cores are busy, 61,400 and 58,700 instead of
   * 63,300 and 66,600. Smaller rounds, over two connections at once, cost Postgres a third more for each message, and
   * delivered no more.
   */
  async #run(): Promise<void> {
    // Calls of the same turn of the loop share the first round too. A receive that acknowledges what it had before
    // comes to claim some promises later: not waiting for it cost half of all rounds another one, with a flush of its
    // own.
    await setImmediate();
    while (this.#parts > 0) {
      await this.#gathering.enough(this.#parts);
      let last = this.#send(await this.#gather());
      this.#beginPatience();
      while (await this.#gathering.isEnoughDuring(last, this.#parts)) {
        await setImmediate();
        // Claims alone are sent over another connection: there they would not see what the last one stores.
        if (this.#stores.length + this.#acknowledgements.length === 0) {
          await last;
          break;
        }
        const next = this.#send(await this.#gather());
        await last;
        this.#beginPatience();
        last = next;
      }
      this.#endPatience();
    }
    this.#running = undefined;
  }

  /** How much waits. A receive that acknowledges what it had before is a claim and an acknowledgement: one part. */
  get #parts(): number {
    return this.#stores.length + Math.max(this.#claims.length, this.#acknowledgements.length);
  }

  #came(): void {
    this.#running ??= this.#run();
    this.#gathering.came(this.#parts);
  }

  /** What goes into the next round. */
  async #gather(): Promise<Round> {
    // Receives that are asked come within this turn of the loop, unless they have something to find out first.
    if (!this.#goApart && this.#options.ask(this.#stores.flatMap(({ item }) => item.queueIds)))
      await setImmediate();
    const parts = this.#parts;
    return {
      parts,
      stores: inTime(this.#stores.splice(0)),
      claims: this.#takeClaims(),
      acknowledgements: this.#takeAcknowledgements(),
    };
  }

  /** A round has its turn: how long those before it took does not count. */
  #beginPatience(): void {
    this.#endPatience();
    this.#patience = setTimeout(() => {
      this.#isSlow = true;
      this.#storesApart(this.#stores.splice(0));
      this.#acknowledgeApart(this.#takeAcknowledgements());
      for (const { item, resolve } of this.#claims.splice(0)) resolve(this.#apart.claim(item));
    }, PATIENCE);
  }

  #endPatience(): void {
    clearTimeout(this.#patience);
    this.#isSlow = false;
  }

  async #send(round: Round): Promise<void> {
    const length = round.stores.reduce((sum, { item }) => sum + item.length, 0);
    this.#gathering.began(round.parts);
    try {
      for (const { item } of round.claims) item.begins();
      const isTogether = await this.#together(round);
      if (!isTogether) await this.#sendApart(round);
      this.#gathering.ended(isTogether && length <= MAX_GATHERED_LENGTH ? round.parts : 0);
    } catch (error) {
      for (const { reject } of [...round.stores, ...round.claims, ...round.acknowledgements])
        reject(error);
    }
  }

  #takeClaims(): WaitingClaim[] {
    let slices = 0;
    const end = this.#claims.findIndex(({ item }, index) => {
      slices += item.request.slices;
      return index > 0 && slices > MAX_ROUND_SLICES;
    });
    return this.#claims.splice(0, end < 0 ? this.#claims.length : end);
  }

  /** All of them, however many claims wait. */
  #takeAcknowledgements(): WaitingAcknowledgement[] {
    this.#waitingMarks = 0;
    return this.#acknowledgements.splice(0);
  }

  /** By one commit; false where that is not the way, and nothing was done of what is left in the round. */
  async #together(round: Round): Promise<boolean> {
    if (this.#goApart) return false;
    const { marks, partOf } = this.#shareMarks(round);
    const { stores, claims } = round;
    // Claims alone wait for nobody.
    if (stores.length + marks.length === 0) return false;
    const requests = claims.map(({ item }) => item.request);
    if (marks.length > 0) failpoint("acknowledge.before-commit");
    const outcome = await this.#options.shared.inOneCommit((sql) => {
      const statements: Statement<unknown>[] = stores.map(({ item }) => item.statement(sql));
      if (requests.length > 0) statements.push(claimAndAcknowledge(sql, requests, marks));
      else if (marks.length > 0) statements.push(deleteAcknowledged(sql, marks, "exact"));
      return statements;
    });
    if ("error" in outcome) {
      this.#refused(round, outcome);
      return false;
    }
    if (marks.length > 0) failpoint("acknowledge.committed");
    this.#answer(round, { marks, partOf, results: outcome.results });
    return true;
  }

  /** Gives all of the round what their commit did for them. */
  #answer(
    { stores, claims, acknowledgements }: Round,
    { marks, partOf, results }: MergedMarks & { results: readonly unknown[] },
  ): void {
    // Behind the stores comes one statement more: it claims and acknowledges, or does what there is of the two.
    const last = results[stores.length];
    const { claims: claimed, applied } =
      claims.length > 0
        ? (last as { claims: Claim[]; applied: AppliedMark[] })
        : { claims: [], applied: (last ?? []) as AppliedMark[] };
    const emptied = new Set(
      claims.filter((_, index) => isAll(claimed[index])).map(({ item }) => item.request.queueId),
    );
    stores.forEach(({ resolve }, index) => resolve({ result: results[index], emptied }));
    claims.forEach(({ resolve }, index) => resolve(claimed[index] as Claim));
    const parts = partOf(bitsOf(marks, applied));
    // Nearly always the first look did it all; what it left of an acknowledgement is looked for apart.
    acknowledgements.forEach(({ item, resolve }, index) =>
      resolve(finish(item, parts[index] ?? [], (left) => this.#apart.acknowledge(left))),
    );
  }

  /** The marks of the acknowledgements that go with the others of their round. */
  #shareMarks(round: Round): MergedMarks {
    const merged = mergeMarks(round.acknowledgements.map(({ item }) => item));
    if (merged.marks.length <= MAX_SHARED_MARKS) return merged;
    this.#acknowledgeApart(round.acknowledgements.splice(0));
    return mergeMarks([]);
  }

  /**
   * Takes out of the round whoever Postgres refused; the others try apart.
   * @throws what all of them fail with, where it may be that all of it is done
   */
  #refused(
    { stores, claims, acknowledgements }: Round,
    { failed, error, isUndone }: Failure,
  ): void {
    if (!isUndone) throw error;
    const isHeldUp = classifyFailure(error) === "unavailable";
    const pause = isHeldUp ? APART_AFTER_LOCK : APART_AFTER_REFUSAL;
    this.#apartUntil = Math.max(this.#apartUntil, performance.now() + pause);
    if (isHeldUp) return;
    const culprits =
      failed < stores.length
        ? stores.splice(failed, 1)
        : [...claims.splice(0), ...acknowledgements.splice(0)];
    for (const { reject } of culprits) reject(error);
  }

  /** Claims now; the others beside them, by statements of their own that no claim waits for. */
  async #sendApart({ stores, claims, acknowledgements }: Round): Promise<void> {
    this.#storesApart(stores);
    this.#acknowledgeApart(acknowledgements);
    if (claims.length === 0) return;
    const found = await claim(
      this.#options.sql,
      claims.map(({ item }) => item.request),
    );
    claims.forEach(({ resolve }, index) => resolve(found[index] as Claim));
  }

  #storesApart(stores: readonly WaitingStore[]): void {
    for (const { item, resolve } of inTime(stores)) resolve(this.#apart.store(item));
  }

  #acknowledgeApart(acknowledgements: readonly WaitingAcknowledgement[]): void {
    for (const { item, resolve } of acknowledgements) resolve(this.#apart.acknowledge(item));
  }
}

/** Refuses what the process came to too late, and gives the others. */
function inTime(stores: readonly WaitingStore[]): WaitingStore[] {
  return stores.filter(({ since, reject }) => {
    const isLate = isTooLate(since);
    if (isLate) reject(tooLate());
    return !isLate;
  });
}

/** Queues whose receives have to be told of what was stored. */
export function without(queueIds: readonly string[], emptied: ReadonlySet<string>): string[] {
  return queueIds.filter((queueId) => !emptied.has(queueId));
}

function bitsOf(marks: Marks, applied: readonly AppliedMark[]): bigint[] {
  const done = marks.map(() => 0n);
  for (const row of applied) {
    if (row.applied) done[row.position - 1]! |= BigInt(row.done);
  }
  return done;
}

/** Whether nothing is left that is visible, or will be so soon that others should know of it. */
function isAll(claimed: Claim | undefined): boolean {
  return claimed?.tookAll === true && claimed.dueIn === undefined;
}
