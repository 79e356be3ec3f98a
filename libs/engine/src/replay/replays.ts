import { schema, type ControlPlane, type Sql } from "@sluice/database";
import { and, eq, sql as expression } from "drizzle-orm";

import { subscriptionNotFound } from "../errors.ts";
import type { Subscriptions } from "../subscriptions/subscriptions.ts";
import type { Topic, Topics } from "../topics/topics.ts";
import { insertReplay, type ReplayedSubscription } from "./insert-replay.ts";
import { rangeOf, type ReplayRange, type ReplayRequest } from "./replay-range.ts";

export interface Replay {
  id: string;
  subscription: string;
  /**
   * When the first and the last message were published; without an end when it came with its subscription: up to that.
   */
  from: Date;
  to?: Date | undefined;
  rate?: number | undefined;
  status: "running" | "completed" | "cancelled";
  /** Messages put into the queue. */
  replayed: number;
  /** From 0 to 1: the part of its time that is done. */
  progress: number;
  createdAt: Date;
  finishedAt?: Date | undefined;
}

const { replays, subscriptions } = schema;

/** Replays of archives: start, look at, list, cancel. A dispatcher does the work; see deliverPage. */
export class Replays {
  readonly #sql: Sql;
  readonly #db: ControlPlane;
  readonly #topics: Topics;
  readonly #subscriptions: Subscriptions;

  constructor(options: {
    hot: Sql;
    control: ControlPlane;
    topics: Topics;
    subscriptions: Subscriptions;
  }) {
    this.#sql = options.hot;
    this.#db = options.control;
    this.#topics = options.topics;
    this.#subscriptions = options.subscriptions;
  }

  /** See {@link rangeOf}. */
  async rangeOf(topic: Topic, request: ReplayRequest): Promise<ReplayRange> {
    return await rangeOf(this.#sql, topic, request);
  }

  /**
   * Delivers a part of the topic's archive to a subscription, through its filter. Of two calls at once the later one
   * finds what the first one started.
   * @param replace - Whether it takes the place of one that is running; what that has delivered stays in the queue
   * @throws {SluiceError} `subscription_not_found`, `topic_not_archived`, `message_not_found`; `replay_running` when
   * one is running that is not to be replaced; `invalid_request` when it ends before it begins
   */
  async start(
    account: string,
    subscriptionId: string,
    { replace = false, ...request }: ReplayRequest & { replace?: boolean },
  ): Promise<Replay> {
    const found = await this.#subscriptions.find(account, subscriptionId);
    const topic = found && (await this.#topics.find(account, found.topic));
    if (!topic) throw subscriptionNotFound(subscriptionId);
    const range = await this.rangeOf(topic, request);
    const subscription = { id: subscriptionId, account };
    const id = await this.#db.transaction(async (tx) => {
      await lockSubscription(tx, subscription);
      if (replace) await tx.update(replays).set(CANCELLED).where(runningFor(subscription));
      return await insertReplay(tx, subscription, { topic, range });
    });
    return (await this.find(subscription, id)) as Replay;
  }

  async find({ id: subscriptionId, account }: ReplayedSubscription, id: string) {
    const rows = await this.#sql<ReplayRow[]>`
      ${this.#select()}
      WHERE r.subscription_id = ${subscriptionId}::uuid AND r.account = ${account}::bigint AND r.id = ${id}::uuid`;
    return rows[0] && replayOf(rows[0]);
  }

  /** The newest first. */
  async list(
    { id: subscriptionId, account }: ReplayedSubscription,
    limit: number,
  ): Promise<Replay[]> {
    const rows = await this.#sql<ReplayRow[]>`
      ${this.#select()}
      WHERE r.subscription_id = ${subscriptionId}::uuid AND r.account = ${account}::bigint
      ORDER BY r.created_at DESC, r.id LIMIT ${limit}::int`;
    return rows.map(replayOf);
  }

  /** Ends a running replay; what it has delivered stays in the queue. Undefined when it is not running. */
  async cancel(subscription: ReplayedSubscription, id: string): Promise<Replay | undefined> {
    const result = await this.#sql`
      UPDATE replays SET status = 'cancelled', finished_at = clock_timestamp()
      WHERE subscription_id = ${subscription.id}::uuid AND account = ${subscription.account}::bigint
        AND id = ${id}::uuid AND status = 'running'`;
    return result.count > 0 ? await this.find(subscription, id) : undefined;
  }

  /** Ends what is running, and forgets that there were any; what they have delivered stays in the queue. */
  async forget({ id, account }: ReplayedSubscription): Promise<void> {
    await this.#sql`
      DELETE FROM replays WHERE subscription_id = ${id}::uuid AND account = ${account}::bigint`;
  }

  #select() {
    return this.#sql`
      SELECT r.id, r.subscription_id, r.rate, r.status, r.replayed::float8 AS replayed,
             ${this.#ms("r.start_at")} AS start_at, ${this.#ms("r.created_at")} AS created_at,
             ${this.#ms("r.finished_at")} AS finished_at, ${this.#ms("r.done_at")} AS done_at,
             CASE WHEN r.end_at < 'infinity' THEN ${this.#ms("r.end_at")} END AS end_at,
             ${this.#ms("greatest(r.start_at, t.archived_since)")} AS first_at,
             ${this.#ms("least(r.end_at, coalesce(r.started_at, r.created_at))")} AS last_at
      FROM replays r LEFT JOIN topics t ON t.id = r.topic_id AND t.account = r.account`;
  }

  /** SQL: a time in milliseconds since the epoch. */
  #ms(time: string) {
    return this.#sql.unsafe(`extract(epoch FROM ${time})::float8 * 1000`);
  }
}

/** @throws {SluiceError} `subscription_not_found` */
async function lockSubscription(
  tx: Pick<ControlPlane, "select">,
  { id, account }: ReplayedSubscription,
): Promise<void> {
  const [row] = await tx
    .select({ id: subscriptions.id })
    .from(subscriptions)
    .where(and(eq(subscriptions.id, id), eq(subscriptions.account, BigInt(account))))
    .for("no key update");
  if (!row) throw subscriptionNotFound(id);
}

/** Ends all replays of a topic. */
export async function cancelReplays(
  tx: Pick<ControlPlane, "update">,
  topicId: bigint,
): Promise<void> {
  const running = and(eq(replays.topicId, topicId), eq(replays.status, "running"));
  await tx.update(replays).set(CANCELLED).where(running);
}

const CANCELLED = { status: "cancelled", finishedAt: expression`clock_timestamp()` } as const;

function runningFor({ id, account }: ReplayedSubscription) {
  return and(
    eq(replays.subscriptionId, id),
    eq(replays.account, BigInt(account)),
    eq(replays.status, "running"),
  );
}

/** Times in ms since the epoch. */
interface ReplayRow {
  id: string;
  subscription_id: string;
  rate: number | null;
  status: Replay["status"];
  replayed: number;
  start_at: number;
  end_at: number | null;
  created_at: number;
  finished_at: number | null;
  done_at: number | null;
  first_at: number;
  last_at: number;
}

function replayOf(row: ReplayRow): Replay {
  return {
    id: row.id,
    subscription: row.subscription_id,
    from: new Date(row.start_at),
    to: row.end_at === null ? undefined : new Date(row.end_at),
    rate: row.rate ?? undefined,
    status: row.status,
    replayed: row.replayed,
    progress: progressOf(row),
    createdAt: new Date(row.created_at),
    finishedAt: row.finished_at === null ? undefined : new Date(row.finished_at),
  };
}

function progressOf({ status, done_at, first_at, last_at }: ReplayRow): number {
  if (status === "completed") return 1;
  if (done_at === null || last_at <= first_at) return 0;
  return Math.min(1, Math.max(0, (done_at - first_at) / (last_at - first_at)));
}
