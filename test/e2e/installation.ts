import {
  startApi,
  startDispatcher,
  startNats,
  type NatsServer,
  type ServiceOptions,
  type ServiceProcess,
} from "@sluice/stack";
import { createTestDatabase, temporaryFolder } from "@sluice/stack/testing";
import { inject } from "vitest";

/** A Sluice of real processes with a database and a nats-server of its own. */
export interface Installation extends AsyncDisposable {
  readonly apis: readonly ServiceProcess[];
  readonly dispatchers: readonly ServiceProcess[];
  readonly nats: NatsServer;
  /** What its processes are started with: for one more of them. */
  readonly settings: ServiceOptions & { natsUrl: string };
  /** Puts something that was started in addition under the same clean-up. */
  own<T extends AsyncDisposable>(resource: T): T;
}

/** Starts it; disposing it stops everything, the processes first. */
export async function install({ apis = 1, dispatchers = 1 } = {}): Promise<Installation> {
  const owned: AsyncDisposable[] = [];
  const own = <T extends AsyncDisposable>(resource: T): T => {
    owned.push(resource);
    return resource;
  };
  const dispose = async () => {
    for (const resource of owned.toReversed()) await resource[Symbol.asyncDispose]();
  };
  try {
    const folder = own(await temporaryFolder());
    const database = own(await createTestDatabase(inject("databaseUrl")));
    const nats = own(await startNats({ storeDir: folder.path }));
    const settings = { databaseUrl: database.url, natsUrl: nats.url, env: quiet };
    const started = await Promise.all([
      ...Array.from({ length: apis }, async () => own(await startApi(settings))),
      ...Array.from({ length: dispatchers }, async () => own(await startDispatcher(settings))),
    ]);
    return {
      apis: started.slice(0, apis),
      dispatchers: started.slice(apis),
      nats,
      settings,
      own,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Whatever is set where the tests run. */
const quiet = { HOST: "127.0.0.1", LOG_LEVEL: "info", SHUTDOWN_TIMEOUT: undefined };
