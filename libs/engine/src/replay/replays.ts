import { schema, type ControlPlane, type Sql } from "@sluice/database";
import { and, eq, sql as expression } from "drizzle-orm";
import { v7 as uuidv7 } from "uuid";

import { findArchived, type ArchivedTopic } from "../archive/find-archived.ts";
import { SluiceError, topicNotArchived } from "../errors.ts";
import { subscriptionNotFound } from "../subscriptions/subscriptions.ts";
import type { Topic } from "../topics/topics.ts";

/** A time, or the message with this id. */
export type ReplayPoint = { at: Date } | { messageId: string };

export interface ReplayRequest {
  /** The first message, inclusive. */
  from: ReplayPoint;
  /** The last one, inclusive; absent: the start of the replay, and no later than that in any case. */
  to?: ReplayPoint | undefined;
  /** Messages a second; absent: as fast as it goes. */
  rate?: number | undefined;
}

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

/** A range of an archive, by the places of its first and its last message. */
export interface ReplayRange {
  start: Place;
  /** Undefined: now. */
  end: Place | undefined;
  rate: number | undefined;
}

interface Place {
  /** A time as Postgres reads it. */
  at: string;
  /** Of a message, with that of its batch at that time; undefined: whatever was published at that time. */
  place?: string;
  bit?: number;
}

interface ReplayedSubscription {
  id: string;
  account: string;
}

const { replays, subscriptions } = schema;

/** Replays of archives: start, look at, list, cancel. A dispatcher does the work; see deliverPage. */
export class Replays {
  readonly #sql: Sql;
  readonly #db: ControlPlane;

  constructor({ hot, control }: { hot: Sql; control: ControlPlane }) {
    this.#sql = hot;
    this.#db = control;
  }

  /**
   * @throws {SluiceError} `topic_not_archived`; `invalid_request` when it ends before it begins; `message_not_found`
   * when a message is named that is not in the archive
   */
  async rangeOf(topic: Topic, { from, to, rate }: ReplayRequest): Promise<ReplayRange> {
    if (topic.archive === null) throw topicNotArchived(topic.name);
    const start = await this.#placeOf(topic, from);
    const end = to && ("at" in to ? { at: lastOf(to.at) } : await this.#placeOf(topic, to));
    if (end && (await this.#isBefore(end, start))) throw endsBeforeItBegins();
    return { start, end, rate };
  }

  /**
   * Of two calls at once the later one finds what the first one started.
   * @param replace - Ends one that is running; what it has delivered stays in the queue
   * @throws {SluiceError} `subscription_not_found`; `replay_running` when one is running that is not to be replaced
   */
  async start(
    subscription: ReplayedSubscription,
    { topic, range, replace }: { topic: ArchivedTopic; range: ReplayRange; replace: boolean },
  ): Promise<Replay> {
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

  async #placeOf(topic: ArchivedTopic, point: ReplayPoint): Promise<Place> {
    if ("at" in point) return { at: point.at.toISOString() };
    const found = await findArchived(this.#sql, topic, point.messageId);
    if (!found) {
      throw new SluiceError(
        "message_not_found",
        `the archive of this topic has no message "${point.messageId}"`,
      );
    }
    return { at: found.publishedAt, place: found.place, bit: found.bit };
  }

  async #isBefore(end: Place, start: Place): Promise<boolean> {
    const [row] = await this.#sql<{ before: boolean }[]>`
      SELECT (${end.at}::timestamptz, ${end.place ?? LAST.place}::bigint, ${end.bit ?? LAST.bit}::int)
             < (${start.at}::timestamptz, ${start.place ?? "0"}::bigint, ${start.bit ?? 0}::int) AS before`;
    return row?.before === true;
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

/**
 * Replays an archive to a subscription that the same transaction makes, up to it: of whatever is fanned out, each batch
 * comes either live or by the replay.
 */
export async function replayFromStart(
  tx: Pick<ControlPlane, "insert">,
  subscription: ReplayedSubscription,
  { topic, range }: { topic: ArchivedTopic; range: ReplayRange },
): Promise<void> {
  await tx.insert(replays).values({
    ...columnsOf(subscription, topic, range),
    endAt: range.end ? expression`${range.end.at}::timestamptz` : expression`'infinity'`,
    subscribedBy: expression`pg_current_xact_id()`,
  });
}

/**
 * Replays up to now, or to an end before that. Without one it ends when it was created, to the microsecond; where the
 * archive is ahead of that, since a clock was set back, with the last of what it has.
 */
async function insertReplay(
  tx: Pick<ControlPlane, "insert" | "execute">,
  subscription: ReplayedSubscription,
  { topic, range }: { topic: ArchivedTopic; range: ReplayRange },
): Promise<string> {
  const [clock] = await tx.execute<{ now: string; last: string; place: string | null }>(expression`
    SELECT clock.now::text, coalesce(ahead.published_at, clock.now)::text AS last, ahead.place
    FROM (SELECT clock_timestamp() AS now) clock
    LEFT JOIN LATERAL (
      SELECT a.published_at, a.place FROM archived_batches a
      WHERE a.topic_id = ${topic.id}::bigint AND a.account = ${topic.account}::bigint AND a.published_at > clock.now
      ORDER BY a.topic_id DESC, a.published_at DESC, a.place DESC LIMIT 1
    ) ahead ON true`);
  const last = expression`${clock?.last}::timestamptz`;
  const [row] = await tx
    .insert(replays)
    .values({
      ...columnsOf(subscription, topic, range),
      endAt: range.end
        ? expression`least(${range.end.at}::timestamptz, ${last})`
        : expression`${last}`,
      ...(!range.end && clock?.place && { endPlace: BigInt(clock.place) }),
      createdAt: expression`${clock?.now}::timestamptz`,
    })
    .onConflictDoNothing()
    .returning({ id: replays.id });
  if (row) return row.id;
  throw new SluiceError(
    "replay_running",
    `a replay for subscription "${subscription.id}" is running; cancel it or wait for its end`,
  );
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

/** Of what was published at a time. */
const LAST = { place: "9223372036854775807", bit: 62 } as const;

/**
 * The last microsecond of a millisecond: messages show their times without the rest, and who names one means that one
 * too.
 */
function lastOf(time: Date): string {
  return time.toISOString().replace("Z", "999Z");
}

function endsBeforeItBegins(): SluiceError {
  const message =
    "is before from; a replay goes from what was published first to what came after it";
  return new SluiceError("invalid_request", `to: ${message}`, {
    details: [{ path: "to", message }],
  });
}

function columnsOf(
  subscription: ReplayedSubscription,
  topic: ArchivedTopic,
  { start, end, rate }: ReplayRange,
) {
  return {
    id: uuidv7(),
    account: BigInt(subscription.account),
    subscriptionId: subscription.id,
    topicId: BigInt(topic.id),
    startAt: expression`${start.at}::timestamptz`,
    ...(start.place !== undefined && { startPlace: BigInt(start.place) }),
    ...(start.bit !== undefined && { startBit: start.bit }),
    ...(end?.place !== undefined && { endPlace: BigInt(end.place) }),
    ...(end?.bit !== undefined && { endBit: end.bit }),
    rate,
  };
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
