import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface Balancer extends AsyncDisposable {
  readonly url: string;
  /** Connections that nobody could be found for. */
  readonly turnedAway: number;
  /** Resolves when so many are in service. */
  untilReady(count: number): Promise<void>;
}

/** How often it looks who is ready, ms. */
const EVERY_MS = 100;

/**
 * A TCP load balancer as there are many: sends each connection to the next of those whose `/readyz` said 200 when it
 * was asked last, and asks every 100 ms.
 */
export async function startBalancer(urls: readonly string[]): Promise<Balancer> {
  let ready: string[] = [];
  let waiting: (() => void)[] = [];
  let turn = 0;
  let turnedAway = 0;
  const sockets = new Set<Socket>();

  const look = async () => {
    const answers = await Promise.all(urls.map(isReady));
    ready = urls.filter((_, index) => answers[index]);
    for (const tell of waiting.splice(0)) tell();
  };
  let looking: Promise<void> | undefined;
  const timer = setInterval(() => {
    looking ??= look().finally(() => (looking = undefined));
  }, EVERY_MS);

  const server = createServer({ allowHalfOpen: true }, (client) => {
    turn += 1;
    const target = ready[turn % ready.length];
    if (target === undefined) {
      turnedAway += 1;
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({
      port: Number(new URL(target).port),
      host: "127.0.0.1",
      allowHalfOpen: true,
    });
    join(client, upstream);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    get turnedAway() {
      return turnedAway;
    },
    async untilReady(count) {
      while (ready.length < count)
        await new Promise<void>((resolve) => {
          waiting = [...waiting, resolve];
        });
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await looking;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What one side says or does, the other one is told. */
function join(client: Socket, upstream: Socket): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.setNoDelay(true);
    from.pipe(to);
    from.on("error", () => to.resetAndDestroy());
    from.on("close", () => to.end());
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/readyz`, { headers: { connection: "close" } });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
