import type { Sql } from "@sluice/database";

import { findArchived, type ArchivedTopic } from "../archive/find-archived.ts";
import { invalidRequest, SluiceError, topicNotArchived } from "../errors.ts";
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

/**
 * The part of an archive that a replay is asked for.
 * @throws {SluiceError} `topic_not_archived`; `invalid_request` when it ends before it begins; `message_not_found` when
 * a message is named that is not in the archive
 */
export async function rangeOf(
  sql: Sql,
  topic: Topic,
  { from, to, rate }: ReplayRequest,
): Promise<ReplayRange> {
  if (topic.archive === null) throw topicNotArchived(topic.name);
  const start = await placeOf(sql, topic, from);
  const end = to && ("at" in to ? { at: lastOf(to.at) } : await placeOf(sql, topic, to));
  if (end && (await isBefore(sql, end, start))) {
    throw invalidRequest(
      "to",
      "is before from; a replay goes from what was published first to what came after it",
    );
  }
  return { start, end, rate };
}

async function placeOf(sql: Sql, topic: ArchivedTopic, point: ReplayPoint): Promise<Place> {
  if ("at" in point) return { at: point.at.toISOString() };
  const found = await findArchived(sql, topic, point.messageId);
  if (!found) {
    throw new SluiceError(
      "message_not_found",
      `the archive of this topic has no message "${point.messageId}"`,
    );
  }
  return { at: found.publishedAt, place: found.place, bit: found.bit };
}

async function isBefore(sql: Sql, end: Place, start: Place): Promise<boolean> {
  const [row] = await sql<{ before: boolean }[]>`
    SELECT (${end.at}::timestamptz, ${end.place ?? LAST.place}::bigint, ${end.bit ?? LAST.bit}::int)
           < (${start.at}::timestamptz, ${start.place ?? "0"}::bigint, ${start.bit ?? 0}::int) AS before`;
  return row?.before === true;
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
