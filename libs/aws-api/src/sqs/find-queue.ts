import type { Queue } from "@sluice/engine";

import type { Call } from "../call.ts";
import { noSuchQueue, queueOfUrl } from "../names/queue-address.ts";

/** The queue of a URL as it is now. @throws {AwsError} `InvalidAddress`, `QueueDoesNotExist` */
export async function queueAt(call: Call, url: string): Promise<Queue> {
  const queue = await call.engine.queues.find(call.account, queueOfUrl(call, url));
  if (!queue) throw noSuchQueue();
  return queue;
}

/** The same as it was a moment ago: for calls that have to be fast. */
export async function rememberedQueueAt(call: Call, url: string): Promise<Queue> {
  return await call.engine.queueDirectory.get(call.account, queueOfUrl(call, url));
}
