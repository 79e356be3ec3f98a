import {
  startApi,
  startDispatcher,
  startStack,
  temporaryFolder,
  type ServiceProcess,
} from "@sluice/stack";

/** A running installation to measure, and what it runs on. */
export interface Environment extends AsyncDisposable {
  url: string;
  databaseUrl: string;
  services: ServiceProcess[];
}

/**
 * A fresh installation for one benchmark: Postgres that flushes each commit to disk, NATS, and the processes that
 * `npm start` runs, with data in a temporary folder.
 */
export async function startEnvironment({ apis = 1, dispatchers = 1 } = {}): Promise<Environment> {
  const stack = new AsyncDisposableStackLike();
  try {
    const folder = stack.use(await temporaryFolder());
    const { databaseUrl, natsUrl } = stack.use(
      await startStack({ dataDir: folder.path, durable: true }),
    );
    if (natsUrl === undefined)
      throw new Error("no nats-server could be found or installed; set NATS_URL");
    const options = { databaseUrl, natsUrl };
    const services: ServiceProcess[] = [];
    for (let count = 0; count < dispatchers; count += 1)
      services.push(stack.use(await startDispatcher(options)));
    for (let count = 0; count < apis; count += 1) services.push(stack.use(await startApi(options)));
    const api = services.at(-1);
    if (!api) throw new Error("a benchmark needs at least one API");
    return {
      url: api.url,
      databaseUrl,
      services,
      [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
    };
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

/** `AsyncDisposableStack`, which Node 20 does not have: disposes in reverse order. */
class AsyncDisposableStackLike implements AsyncDisposable {
  readonly #resources: AsyncDisposable[] = [];

  use<Resource extends AsyncDisposable>(resource: Resource): Resource {
    this.#resources.push(resource);
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const resource of this.#resources.toReversed()) await resource[Symbol.asyncDispose]();
  }
}
