import { randomBytes } from "node:crypto";
import { createAdmin, type Connection } from "@sluice/client";
import { declareEvents, type Declared } from "./github-events.ts";
import { services } from "./measure/result.ts";

export interface Names extends AsyncDisposable {
  readonly declared: Declared;
}

/**
 * Creates the topic and its three queues, and feeds each queue with the topic.
 *
 * On a server that is shared they get a suffix, since it may have a topic of this name that is in use, and disposing
 * them deletes them.
 */
export async function createNames(
  connection: Connection,
  { shared }: { shared: boolean },
): Promise<Names> {
  const admin = createAdmin(connection);
  const declared = declareEvents(shared ? `-${randomBytes(4).toString("hex")}` : "");
  const { events } = declared;

  await admin.topics.create(events);
  for (const name of services) {
    const queue = declared[name];
    await admin.queues.create(queue);
    await admin.subscribe(events, queue);
  }

  const remove = async () => {
    await admin.topics.delete(events);
    for (const name of services) await admin.queues.delete(declared[name]);
  };
  return {
    declared,
    async [Symbol.asyncDispose]() {
      // The server may be the one that failed: then that is what is to be told.
      if (shared) await remove().catch(() => {});
    },
  };
}
