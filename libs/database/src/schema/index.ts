/** Every table, a file a family. Drizzle's generator reads this file as well. */
export { filterPolicies, subscriptions, topics } from "./topics.ts";
export { deletedQueues, queueDelays, queueTotals, queues } from "./queues.ts";
export { batchIds, batches, idempotencyKeys, leaseIds, outbox, slices } from "./messages.ts";
export {
  deduplicationIds,
  fifoGroups,
  fifoSequences,
  fifoSlices,
  receiveAttempts,
  topicDeduplicationIds,
  topicSequences,
} from "./fifo.ts";
export { archivedBatches, replays } from "./archive.ts";
export { redriveTasks } from "./redrive.ts";
export { accessKeys, secrets } from "./access.ts";
