import { assemble } from "../assemble.ts";
import { ownPostgres } from "../postgres.ts";
import type { System } from "../system.ts";

/**
 * The table layout and the statements of pgmq, written for this benchmark: pgmq itself is an extension that no package of
 * npm brings. Without its functions around them the statements are, if anything, faster.
 */
export const pgmq: System = {
  name: "pgmq",
  title: "pgmq layout",
  settings:
    "tables and statements of pgmq, Postgres with fsync and synchronous_commit on; an empty queue is polled every 100 ms (its default)",
  start: async () => {
    return assemble(async (cleanup, folder) => {
      const { version, ...postgres } = await ownPostgres(cleanup, folder);
      return {
        address: { url: postgres.url },
        description: `pgmq layout on Postgres ${version}`,
        postgres,
      };
    });
  },
};
