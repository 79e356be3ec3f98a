import { queueName } from "../declarations.ts";
import type { QueueReference } from "../declarations.ts";

export function queuePath(queue: QueueReference): string {
  return `/v1/queues/${encodeURIComponent(queueName(queue))}`;
}

export function subscriptionPath(id: string): string {
  return `/v1/subscriptions/${encodeURIComponent(id)}`;
}
