import { schema, type ControlPlane } from "@sluice/database";
import { and, eq, isNotNull, isNull, or } from "drizzle-orm";

const { subscriptions } = schema;

type Transaction = Pick<ControlPlane, "select" | "update" | "delete">;

/**
 * Before a queue is deleted (its row is locked, so nobody subscribes it any more): its subscriptions that have a
 * dead-letter queue outlive it, and deliver there; those that have lost their own queue and now this one as well have
 * nowhere to deliver to. All others end with the queue.
 */
export async function outliveQueue(
  tx: Transaction,
  queue: { id: bigint; name: string },
): Promise<void> {
  // Who gives one of them a dead-letter queue at this moment has done so before this, or finds it deleted. Of those
  // that have this one as theirs, whoever deletes the other queue at this moment has done so before this as well, or
  // finds that it has none.
  await tx
    .select({ id: subscriptions.id })
    .from(subscriptions)
    .where(or(eq(subscriptions.queueId, queue.id), eq(subscriptions.deadLetterQueueId, queue.id)))
    .orderBy(subscriptions.id)
    .for("update");
  await tx
    .update(subscriptions)
    .set({ queueId: null, deletedQueue: queue.name })
    .where(and(eq(subscriptions.queueId, queue.id), isNotNull(subscriptions.deadLetterQueueId)));
  await tx
    .delete(subscriptions)
    .where(and(eq(subscriptions.deadLetterQueueId, queue.id), isNull(subscriptions.queueId)));
}

/** A new queue takes the place of a deleted one of its name. */
export async function takeOverSubscriptions(
  tx: Transaction,
  queue: { id: bigint; account: string; name: string },
): Promise<void> {
  await tx
    .update(subscriptions)
    .set({ queueId: queue.id, deletedQueue: null })
    .where(
      and(
        eq(subscriptions.account, BigInt(queue.account)),
        eq(subscriptions.deletedQueue, queue.name),
      ),
    );
}
