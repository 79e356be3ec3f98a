import { numbers, type Sql } from "@sluice/database";

import type { ReceiptHandle } from "../receipt-handle/receipt-handle.ts";

/** Of each handle of a FIFO queue whether its message is in that queue no more, whoever has taken it away. */
export async function findGone(sql: Sql, handles: readonly ReceiptHandle[]): Promise<boolean[]> {
  const rows = await sql<{ gone: boolean }[]>`
    SELECT NOT EXISTS (
      SELECT FROM fifo_slices s
      WHERE s.queue_id = h.queue_id AND s.sequence = h.sequence AND s.batch_id = h.batch_id AND s.pending >> h.bit::int & 1 = 1
    ) AS gone
    FROM unnest(
      ${numbers(handles.map((handle) => handle.queueId))}::bigint[],
      ${numbers(handles.map((handle) => handle.visibleAt))}::bigint[],
      ${numbers(handles.map((handle) => handle.batchId))}::bigint[],
      ${numbers(handles.map((handle) => handle.bit))}::bigint[]
    ) WITH ORDINALITY AS h(queue_id, sequence, batch_id, bit, position)
    ORDER BY h.position`;
  return rows.map(({ gone }) => gone);
}
