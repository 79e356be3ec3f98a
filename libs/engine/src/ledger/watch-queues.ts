import type { Sql } from "@sluice/database";

import { accountOf } from "../directory/account.ts";
import type { Observer } from "../observer.ts";
import { countMessages } from "./count-messages.ts";

/** Tells the observer what each queue holds, while there are no more queues than `limit`. */
export async function watchQueues(
  { sql, observer }: { sql: Sql; observer: Pick<Observer, "queuesHold"> },
  limit: number,
): Promise<void> {
  const queues = await sql<{ id: string; account: string; name: string; retention: number }[]>`
    SELECT id, account, name, retention FROM queues ORDER BY id LIMIT ${limit + 1}::int`;
  const holds = [];
  for (const queue of queues.length > limit ? [] : queues) {
    const { totals: _, ...counts } = await countMessages(sql, queue);
    holds.push({ account: accountOf(BigInt(queue.account)), queue: queue.name, counts });
  }
  observer.queuesHold(holds);
}
