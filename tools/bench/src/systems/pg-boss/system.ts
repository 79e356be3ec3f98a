import { assemble } from "../assemble.ts";
import { requirePeer } from "../peers.ts";
import { ownPostgres } from "../postgres.ts";
import type { System } from "../system.ts";

/** pg-boss as a queue: one insert for all queues of a topic, fetch and complete in batches. */
export const pgBoss: System = {
  name: "pg-boss",
  title: "pg-boss",
  settings:
    "Postgres with fsync and synchronous_commit on; an empty queue is polled every 500 ms (its shortest)",
  start: async () => {
    requirePeer("pg-boss");
    return assemble(async (cleanup, folder) => {
      const { version, ...postgres } = await ownPostgres(cleanup, folder);
      return {
        address: { url: postgres.url },
        description: `pg-boss 10 on Postgres ${version}`,
        postgres,
      };
    });
  },
};
