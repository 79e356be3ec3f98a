import { schema, type ControlPlane } from "@sluice/database";
import { sql } from "drizzle-orm";
import { v7 as uuidv7 } from "uuid";

import type { ArchivedTopic } from "../archive/find-archived.ts";
import { SluiceError } from "../errors.ts";
import type { ReplayRange } from "./replay-range.ts";

export interface ReplayedSubscription {
  id: string;
  account: string;
}

const { replays } = schema;

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
    endAt: range.end ? sql`${range.end.at}::timestamptz` : sql`'infinity'`,
    subscribedBy: sql`pg_current_xact_id()`,
  });
}

/**
 * Replays up to now, or to an end before that. Without one it ends when it was created, to the microsecond; where the
 * archive is ahead of that, since a clock was set back, with the last of what it has.
 */
export async function insertReplay(
  tx: Pick<ControlPlane, "insert" | "execute">,
  subscription: ReplayedSubscription,
  { topic, range }: { topic: ArchivedTopic; range: ReplayRange },
): Promise<string> {
  const [clock] = await tx.execute<{ now: string; last: string; place: string | null }>(sql`
    SELECT clock.now::text, coalesce(ahead.published_at, clock.now)::text AS last, ahead.place
    FROM (SELECT clock_timestamp() AS now) clock
    LEFT JOIN LATERAL (
      SELECT a.published_at, a.place FROM archived_batches a
      WHERE a.topic_id = ${topic.id}::bigint AND a.account = ${topic.account}::bigint AND a.published_at > clock.now
      ORDER BY a.topic_id DESC, a.published_at DESC, a.place DESC LIMIT 1
    ) ahead ON true`);
  const last = sql`${clock?.last}::timestamptz`;
  const [row] = await tx
    .insert(replays)
    .values({
      ...columnsOf(subscription, topic, range),
      endAt: range.end ? sql`least(${range.end.at}::timestamptz, ${last})` : sql`${last}`,
      ...(!range.end && clock?.place && { endPlace: BigInt(clock.place) }),
      createdAt: sql`${clock?.now}::timestamptz`,
    })
    .onConflictDoNothing()
    .returning({ id: replays.id });
  if (row) return row.id;
  throw new SluiceError(
    "replay_running",
    `a replay for subscription "${subscription.id}" is running; cancel it or wait for its end`,
  );
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
    startAt: sql`${start.at}::timestamptz`,
    ...(start.place !== undefined && { startPlace: BigInt(start.place) }),
    ...(start.bit !== undefined && { startBit: start.bit }),
    ...(end?.place !== undefined && { endPlace: BigInt(end.place) }),
    ...(end?.bit !== undefined && { endBit: end.bit }),
    rate,
  };
}
