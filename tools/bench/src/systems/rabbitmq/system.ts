import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { freePort, startChild } from "@sluice/stack";

import { assemble } from "../assemble.ts";
import { findProgram } from "../find-program.ts";
import { requirePeer } from "../peers.ts";
import type { RunningSystem, System } from "../system.ts";

const common = "durable fanout exchange, persistent messages, publisher confirms, manual acks";

/** Confirms of a classic queue come when the message is written, and flushed at intervals. */
export const rabbitmqClassic: System = {
  name: "rabbitmq",
  title: "RabbitMQ classic",
  settings: `${common}; durable classic queues`,
  start: async () => start("classic"),
};

/** A quorum of one node: confirmed after the flush of its log. */
export const rabbitmqQuorum: System = {
  name: "rabbitmq-quorum",
  title: "RabbitMQ quorum",
  settings: `${common}; quorum queues, one replica`,
  start: async () => start("quorum"),
};

const run = promisify(execFile);

async function start(queueType: string): Promise<RunningSystem> {
  requirePeer("amqplib");
  const where = { debian: "rabbitmq-server", folders: ["/usr/lib/rabbitmq/bin"] };
  const program = await findProgram("rabbitmq-server", where);
  return assemble(async (cleanup, folder) => {
    const [port, distribution, epmd] = [await freePort(), await freePort(), await freePort()];
    const file = join(folder, "rabbitmq.conf");
    await writeFile(
      file,
      `listeners.tcp.1 = 127.0.0.1:${port}\nlog.file = false\nlog.console = true\n`,
    );
    const env = {
      PATH: process.env["PATH"],
      HOME: folder, // of the cookie
      RABBITMQ_CONFIG_FILE: file,
      RABBITMQ_CONF_ENV_FILE: "/dev/null",
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "plugins"),
      RABBITMQ_MNESIA_BASE: join(folder, "data"),
      RABBITMQ_LOG_BASE: join(folder, "log"),
      RABBITMQ_NODENAME: `bench${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
      ERL_EPMD_PORT: String(epmd),
      ERL_EPMD_ADDRESS: "127.0.0.1",
    };
    // The port mapper that Erlang starts outlives it.
    cleanup.defer(async () => run("epmd", ["-port", String(epmd), "-kill"]).catch(() => undefined));
    const server = cleanup.use(
      await startChild({
        name: "rabbitmq-server",
        command: [program],
        env,
        cwd: folder,
        stopSignal: "SIGTERM",
        lastSignal: "SIGKILL",
        graceMs: 30_000,
      }),
    );
    const version = await server.waitFor(
      (line) => /RabbitMQ (\d[\d.]+) on Erlang/.exec(line)?.[1],
      60_000,
    );
    await server.waitFor((line) => line.includes("Server startup complete") || undefined, 60_000);
    return {
      address: { url: `amqp://guest:guest@127.0.0.1:${port}`, queueType },
      description: `RabbitMQ ${version}`,
    };
  });
}
