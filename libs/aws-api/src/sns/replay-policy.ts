import type { Replay, ReplayRequest } from "@sluice/engine";

import { invalidParameter } from "../errors.ts";
import { parseObject } from "../policy.ts";

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;

/** A part of an archive, between two times. */
export interface ReplayedTimes extends ReplayRequest {
  from: { at: Date };
  to?: { at: Date } | undefined;
}

/**
 * `{"PointType":"Timestamp","StartingPoint":…,"EndingPoint":…}`; null is the empty policy. @throws {AwsError}
 * `InvalidParameter`
 */
export function readReplayPolicy(text: string): ReplayedTimes | null {
  const policy = text === "" ? {} : parseObject(text);
  if (!policy) throw invalidReplay("failed to parse JSON.");
  if (Object.keys(policy).length === 0) return null;
  const { PointType: type, StartingPoint: start, EndingPoint: end, ...unknown } = policy;
  const [other] = Object.keys(unknown);
  if (other !== undefined)
    throw invalidReplay(`invalid JSON. Attribute ${other.slice(0, 100)} is unknown.`);
  if (type !== "Timestamp") throw invalidReplay("Invalid PointType value, Timestamp is possible");
  return {
    from: pointOf("StartingPoint", start),
    to: end === undefined ? undefined : pointOf("EndingPoint", end),
  };
}

function pointOf(name: string, value: unknown): { at: Date } {
  const at = new Date(typeof value === "string" && TIME.test(value) ? value : NaN);
  const year = at.getUTCFullYear();
  // In UTC it may be a year that Postgres has another name for.
  if (!(year >= 1 && year <= 9999))
    throw invalidReplay(`Invalid ${name} value, 2026-01-31T08:00:00.000Z is the form`);
  return { at };
}

export function invalidReplay(reason: string) {
  return invalidParameter("ReplayPolicy", reason);
}

/** What a subscription shows of the newest replay that it had; nothing of one that was stopped. */
export function shownReplay(replay: Replay | undefined): Record<string, string> {
  if (replay === undefined || replay.status === "cancelled") return {};
  const { from, to } = timesOf(replay);
  return {
    ReplayPolicy: JSON.stringify({
      PointType: "Timestamp",
      StartingPoint: from.at.toISOString(),
      EndingPoint: to?.at.toISOString(),
    }),
    ReplayStatus: statusOf(replay),
  };
}

/** Without an end it ends with the moment at which it was started. */
export function timesOf({ from, to, createdAt }: Replay): ReplayedTimes {
  return { from: { at: from }, to: to && to < createdAt ? { at: to } : undefined };
}

function statusOf({ status, replayed, progress }: Replay): "Completed" | "In progress" | "Pending" {
  if (status === "completed") return "Completed";
  return replayed > 0 || progress > 0 ? "In progress" : "Pending";
}
