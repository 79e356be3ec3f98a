import type { Transaction } from "@sluice/database";

import type { Look } from "./find-slices.ts";

/** The message as its batch has it. */
export interface Stored {
  /** Empty when compaction has removed it: then nothing refers to it. */
  line: string;
  groupId: string | undefined;
  /** In ms since the epoch. */
  sentAt: number;
  /** The same as Postgres writes it, so that no microsecond is lost. */
  sentAtText: string;
  /** It is still to be fanned out. */
  waits: boolean;
  /** While it is. */
  topicId: string | undefined;
}

/** Undefined when its batch is gone, which is soon after nothing refers to it, or is that of another account. */
export async function readStored(
  tx: Transaction,
  { account, place: { batchId, bit } }: Look,
): Promise<Stored | undefined> {
  const [row] = await tx<StoredRow[]>`
    SELECT split_part(b.payload, E'\n', ${bit + 1}::int) AS line, b.sent_at::text AS sent_at_text,
           extract(epoch FROM b.sent_at)::float8 * 1000 AS sent_at, o.topic_id,
           -- Of a FIFO topic, unless it is a duplicate.
           o.batch_id IS NOT NULL AND (o.message_bits IS NULL OR ${bit}::int = ANY(o.message_bits)) AS waits
    FROM batches b LEFT JOIN outbox o ON o.batch_id = b.id
    WHERE b.id = ${batchId}::bigint AND b.account = ${account}::bigint`;
  if (!row) return undefined;
  const { groupId } = JSON.parse(`{${row.line}}`) as { groupId?: string };
  return {
    line: row.line,
    groupId,
    sentAt: row.sent_at,
    sentAtText: row.sent_at_text,
    waits: row.waits,
    topicId: row.topic_id ?? undefined,
  };
}

interface StoredRow {
  line: string;
  sent_at_text: string;
  sent_at: number;
  topic_id: string | null;
  waits: boolean;
}
