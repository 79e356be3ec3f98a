import type { Topic } from "@sluice/engine";

import { parseObject } from "../policy.ts";

const DAY_MS = 86_400_000;

/** `{"MessageRetentionPeriod":"30"}`, in days; null is the empty policy, `{}`; undefined is none at all. */
export function readArchivePolicy(text: string): Topic["archive"] | undefined {
  const policy = parseObject(text);
  if (!policy) return undefined;
  const { MessageRetentionPeriod: days, ...unknown } = policy;
  if (Object.keys(unknown).length > 0) return undefined;
  if (days === undefined) return null;
  const isNumber = typeof days === "number" || (typeof days === "string" && /^\d+$/.test(days));
  const isPossible = isNumber && Number.isInteger(Number(days)) && isWithin(Number(days), 1, 365);
  return isPossible ? { days: Number(days) } : undefined;
}

function isWithin(number: number, least: number, most: number): boolean {
  return number >= least && number <= most;
}

/** As it was set, if that is what the topic has now: whoever compares texts finds the one that they wrote. */
export function archivePolicyOf({ archive, awsAttributes }: Topic): string | undefined {
  if (archive === null) return undefined;
  const kept = awsAttributes["ArchivePolicy"];
  return kept !== undefined && readArchivePolicy(kept)?.days === archive.days
    ? kept
    : JSON.stringify({ MessageRetentionPeriod: String(archive.days) });
}

/** The earliest time that a replay may begin at and find everything. */
export function beginningArchiveTime({ archive, archivedSince }: Topic): string | undefined {
  if (archive === null || archivedSince === null) return undefined;
  const oldest = Date.now() - archive.days * DAY_MS;
  return new Date(Math.max(archivedSince.getTime(), oldest)).toISOString();
}
