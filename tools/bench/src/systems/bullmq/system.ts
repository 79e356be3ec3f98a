import { freePort, startChild } from "@sluice/stack";

import { assemble } from "../assemble.ts";
import { findProgram, versionOf } from "../find-program.ts";
import { requirePeer } from "../peers.ts";
import type { System } from "../system.ts";

/** BullMQ on a Redis of its own. */
export const bullmq: System = {
  name: "bullmq",
  title: "BullMQ",
  settings:
    "Redis with appendonly yes, appendfsync everysec: answered BEFORE the flush, a crash can lose a second",
  start: async () => {
    requirePeer("bullmq");
    requirePeer("ioredis");
    const program = await findProgram("redis-server", { debian: "redis-server" });
    return assemble(async (cleanup, folder) => {
      const port = await freePort();
      const settings = {
        bind: "127.0.0.1",
        port: String(port),
        dir: folder,
        appendonly: "yes",
        appendfsync: "everysec",
        save: "",
      };
      const server = cleanup.use(
        await startChild({
          name: "redis-server",
          command: [
            program,
            ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
          ],
          env: { PATH: process.env["PATH"] },
          cwd: folder,
          stopSignal: "SIGTERM",
          lastSignal: "SIGKILL",
          graceMs: 10_000,
        }),
      );
      await server.waitFor((line) => line.includes("Ready to accept") || undefined, 30_000);
      return {
        address: { port: String(port) },
        description: `BullMQ on Redis ${await versionOf(program, ["--version"])}`,
      };
    });
  },
};
