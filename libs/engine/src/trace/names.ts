import { numbers, texts, type Transaction } from "@sluice/database";

import type { Refused, Stay } from "./deliveries.ts";

/** What the things of a trace are called, and whether they are still there. */
export interface Names {
  topic: string | undefined;
  /** By its id; null when it is deleted and its name forgotten. */
  queue: (id: string) => string | null;
  retentionMs: (queueId: string) => number;
  /** When it was deleted, null when that is forgotten; undefined when it is there. */
  deletedAt: (queueId: string) => number | null | undefined;
  subscription: (id: string) => { id: string; deleted: boolean };
  /** By the clock of the database, in ms since the epoch. */
  now: number;
}

export async function namesOf(
  tx: Transaction,
  {
    account,
    stays,
    refused,
    topicId,
  }: {
    account: string;
    stays: readonly Stay[];
    refused: readonly Refused[];
    topicId?: string | undefined;
  },
): Promise<Names> {
  const queueIds = new Set(stays.flatMap(queuesOf));
  const subscriptionIds = new Set([
    ...stays.flatMap(({ arrival }) => arrival?.subscriptionId ?? []),
    ...refused.map(({ subscriptionId }) => subscriptionId),
  ]);
  const [queues, subscriptions, [common]] = await Promise.all([
    tx<QueueRow[]>`
      SELECT k.id, coalesce(q.name, d.name) AS name, q.retention, extract(epoch FROM d.deleted_at)::float8 * 1000 AS deleted_at
      FROM unnest(${numbers([...queueIds])}::bigint[]) AS k(id)
      LEFT JOIN queues q ON q.id = k.id AND q.account = ${account}::bigint
      LEFT JOIN deleted_queues d ON d.queue_id = k.id AND d.account = ${account}::bigint`,
    tx<{ id: string }[]>`
      SELECT s.id FROM unnest(${texts([...subscriptionIds])}::uuid[]) AS k(id)
      JOIN subscriptions s ON s.id = k.id AND s.account = ${account}::bigint`,
    tx<{ now: number; topic: string | null }[]>`
      SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now,
             (SELECT name FROM topics WHERE id = ${topicId ?? null}::bigint AND account = ${account}::bigint) AS topic`,
  ]);
  const byId = new Map(queues.map((row) => [row.id, row]));
  const present = new Set(subscriptions.map(({ id }) => id));
  return {
    topic: common?.topic ?? undefined,
    queue: (id) => byId.get(id)?.name ?? null,
    retentionMs: (id) => (byId.get(id)?.retention ?? Infinity) * 1_000,
    deletedAt: (id) => {
      const row = byId.get(id);
      return typeof row?.retention === "number" ? undefined : (row?.deleted_at ?? null);
    },
    subscription: (id) => ({ id, deleted: !present.has(id) }),
    now: common?.now ?? 0,
  };
}

function queuesOf({ queueId, arrival, departure }: Stay): string[] {
  return [queueId, arrival?.fromQueueId ?? [], departure?.toQueueId ?? []].flat();
}

interface QueueRow {
  id: string;
  name: string | null;
  /** Null when it is deleted. */
  retention: number | null;
  deleted_at: number | null;
}
