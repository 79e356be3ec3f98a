import { randomBytes } from "node:crypto";

import { createAccessKey, startApi, startDispatcher, startStack } from "@sluice/stack";

import { assemble } from "../assemble.ts";
import { probe } from "../../soak/watched.ts";
import { profilingEnvironment, profilingPostgres } from "../../profile/profiling.ts";
import { Unavailable, type RunningSystem, type StartOptions, type System } from "../system.ts";

/** This project, as `npm start` runs it: one API, one dispatcher, Postgres and NATS, in processes of their own. */
export const sluice: System = {
  name: "sluice",
  title: "Sluice",
  settings:
    "Postgres with fsync and synchronous_commit on; answered after the commit; over HTTP by the SDK, single publishes under way together share calls, and so do receives from the queues of one process",
  aws: "also",
  start: async (options) =>
    options.url === undefined ? startFresh(options) : { ...existing(options.url) },
};

/** The same with a call of its own for each publish and each receive. */
export const sluiceUnbatched: System = {
  name: "sluice-unbatched",
  title: "Sluice, unbatched",
  settings:
    "the same, but each publish (batching: false) and each receive (a connection for each queue) is an HTTP call of its own",
  start: async (options) => {
    const running = await sluice.start(options);
    return { ...running, address: { ...running.address, batching: "off" } };
  },
};

/** Whatever the developer's own environment says for `npm start`: loads have no key, and debug lines take time. */
const plain = { HOST: "127.0.0.1", AUTH: "off", LOG_LEVEL: "info" };

/** For tests, which have a Postgres and a NATS already. */
export async function startSluiceOn(databaseUrl: string, natsUrl: string): Promise<RunningSystem> {
  return assemble(async (cleanup) => {
    const options = { databaseUrl, natsUrl, env: plain };
    const dispatcher = cleanup.use(await startDispatcher(options));
    const api = cleanup.use(await startApi(options));
    return {
      address: { url: api.url },
      description: "Sluice",
      postgres: { url: databaseUrl, adminUrl: undefined },
      services: [dispatcher, api],
    };
  });
}

async function startFresh({
  profileFolder,
  probed = false,
  guarded = false,
}: StartOptions): Promise<RunningSystem> {
  return assemble(async (cleanup, folder) => {
    const settings = profileFolder === undefined ? {} : profilingPostgres;
    const stack = cleanup.use(await startStack({ dataDir: folder, durable: true, settings }));
    const { databaseUrl, natsUrl, postgres, nats } = stack;
    if (natsUrl === undefined)
      throw new Unavailable(
        "no nats-server could be found or installed (apt-get install nats-server)",
      );
    const { NODE_OPTIONS: ofProfile, ...profiling } = profilingEnvironment(profileFolder);
    const preloaded = [ofProfile, probed && `--import=${probe}`].filter(Boolean).join(" ");
    const secretsKey = randomBytes(32).toString("hex");
    const env = {
      ...plain,
      ...profiling,
      ...(guarded && { AUTH: "on", SECRETS_KEY: secretsKey }),
      ...(preloaded !== "" && { NODE_OPTIONS: preloaded }),
    };
    const options = { databaseUrl, natsUrl, env };
    const dispatcher = cleanup.use(await startDispatcher(options));
    const api = cleanup.use(await startApi(options));
    return {
      address: { url: api.url },
      description: `Sluice on Postgres ${postgres?.version} and NATS ${nats?.version}`,
      postgres: { url: databaseUrl, adminUrl: postgres?.adminUrl },
      services: [dispatcher, api],
      probed,
      ...(guarded && { accessKey: await createAccessKey({ databaseUrl, secretsKey }) }),
    };
  });
}

function existing(url: string): RunningSystem {
  return {
    address: { url },
    description: `Sluice at ${url}`,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
