import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { freePort, locateNats, startChild } from "@sluice/stack";

import { assemble } from "../assemble.ts";
import { Unavailable, type RunningSystem, type System } from "../system.ts";

/** NATS JetStream with its defaults: an interest stream on disk, one durable pull consumer a queue. */
export const jetstream: System = {
  name: "jetstream",
  title: "NATS JetStream",
  settings:
    "file storage; answered BEFORE the flush: the disk is synced every 2 minutes (its default)",
  start: async () => start(),
};

/** The same, safe against a power cut as all others are; NATS 2.10 and newer can. */
export const jetstreamSynced: System = {
  name: "jetstream-sync",
  title: "NATS JetStream, synced",
  settings: "file storage with sync_interval: always",
  start: async () => start("always"),
};

async function start(syncInterval?: string): Promise<RunningSystem> {
  const { found: binary, reasons } = await locateNats();
  if (binary === undefined) throw new Unavailable(`no nats-server: ${reasons.join("; ")}`);
  const [major = 0, minor = 0] = binary.version.split(".").map(Number);
  if (syncInterval !== undefined && (major < 2 || (major === 2 && minor < 10)))
    throw new Unavailable(`needs nats-server 2.10, here is ${binary.version}`);
  return assemble(async (cleanup, folder) => {
    const port = await freePort();
    const sync = syncInterval === undefined ? "" : `, sync_interval: ${syncInterval}`;
    const file = join(folder, "nats.conf");
    await writeFile(
      file,
      `listen: 127.0.0.1:${port}\njetstream { store_dir: "${folder}"${sync} }\n`,
    );
    const server = cleanup.use(
      await startChild({
        name: "nats-server",
        command: [binary.path, "-c", file],
        env: { PATH: process.env["PATH"] },
        cwd: folder,
        stopSignal: "SIGTERM",
        lastSignal: "SIGKILL",
        graceMs: 10_000,
      }),
    );
    await server.waitFor((line) => line.includes("Server is ready") || undefined, 30_000);
    return {
      address: { servers: `127.0.0.1:${port}` },
      description: `nats-server ${binary.version}`,
    };
  });
}
