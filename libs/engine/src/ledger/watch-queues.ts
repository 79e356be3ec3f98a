import type { Sql } from "@sluice/database";

import { accountOf } from "../directory/account.ts";
import type { Observer } from "../observer.ts";
import { countMessages } from "./count-messages.ts";

interface Watching {
  sql: Sql;
  observer: Pick<Observer, "queuesHold">;
}

/**
 * Tells the observer what each queue holds, while there are no more queues than `limit`. When it cannot be known it is
 * told of none: what stays as it was would look well to whoever waits for a queue to become old.
 */
export async function watchQueues(watching: Watching, limit: number): Promise<void> {
  try {
    await look(watching, limit);
  } catch (error) {
    watching.observer.queuesHold([]);
    throw error;
  }
}

async function look({ sql, observer }: Watching, limit: number): Promise<void> {
  const queues = await sql<
    { id: string; account: string; name: string; fifo: boolean; retention: number }[]
  >`
    SELECT id, account, name, fifo, retention FROM queues ORDER BY id LIMIT ${limit + 1}::int`;
  const holds = [];
  for (const queue of queues.length > limit ? [] : queues) {
    const { totals: _, ...counts } = await countMessages(sql, queue);
    holds.push({ account: accountOf(BigInt(queue.account)), queue: queue.name, counts });
  }
  observer.queuesHold(holds);
}
