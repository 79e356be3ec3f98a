import { schema, type ControlPlane } from "@sluice/database";
import { eq, getTableColumns, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/pg-core";

import { accountOf } from "../directory/account.ts";
import { isAmongThose, isNamed } from "../directory/named-tables.ts";
import { fitsPage, ifFits } from "../directory/pages.ts";
import type { QueueSettings } from "./queue-settings.ts";

export interface Queue extends QueueSettings {
  id: string;
  account: string;
  name: string;
  awsAttributes: Record<string, string>;
  createdAt: Date;
}

/** As lists show it. */
export type ListedQueue = Omit<Queue, "awsAttributes">;

const { queues } = schema;
const { awsAttributes: _awsAttributes, ...listedColumns } = getTableColumns(queues);
const deadLetterQueues = alias(queues, "dead_letter_queues");

export type Reader = Pick<ControlPlane, "select">;

function select(db: Reader) {
  return db
    .select({ queue: queues, deadLetterQueue: deadLetterQueues.name })
    .from(queues)
    .leftJoin(deadLetterQueues, eq(deadLetterQueues.id, queues.deadLetterQueueId))
    .$dynamic();
}

/** As lists show them, each with whether it is within the bytes of a page. */
export function selectListed(db: Reader) {
  const fits = fitsPage(sql`octet_length(${queues.tags}::text)`, queues.name);
  return db
    .select({
      queue: { ...listedColumns, tags: ifFits(fits, queues.tags) },
      deadLetterQueue: deadLetterQueues.name,
      fits,
    })
    .from(queues)
    .leftJoin(deadLetterQueues, eq(deadLetterQueues.id, queues.deadLetterQueueId))
    .$dynamic();
}

/**
 * The look-up of queues by account and name, whose SQL is put together once. With 5,000 long polls, each on a queue of
 * its own, doing that each time was a tenth of what they cost.
 */
export function lookUp(db: Reader) {
  return select(db).where(isAmongThose(queues)).prepare("look_up_queues");
}

export async function findQueue(
  db: Reader,
  account: string,
  name: string,
): Promise<Queue | undefined> {
  const [row] = await select(db).where(isNamed(queues, account, name));
  return row && queueOf(row);
}

export function queueOf({ queue, deadLetterQueue }: SelectedQueue): Queue {
  const { awsAttributes } = queue;
  return { ...listedQueueOf({ queue, deadLetterQueue }), awsAttributes };
}

export function listedQueueOf({ queue: row, deadLetterQueue }: ListedRow): ListedQueue {
  const {
    deadLetterQueueId: _id,
    maxReceiveCount,
    purgedAt: _purgedAt,
    hasTenants: _hasTenants,
    ...columns
  } = row;
  return {
    ...columns,
    id: String(row.id),
    account: accountOf(row.account),
    redrive:
      deadLetterQueue === null || maxReceiveCount === null
        ? null
        : { deadLetterQueue, maxReceiveCount },
  };
}

interface SelectedQueue {
  queue: typeof queues.$inferSelect;
  deadLetterQueue: string | null;
}

interface ListedRow {
  queue: Omit<SelectedQueue["queue"], "awsAttributes">;
  deadLetterQueue: string | null;
}
