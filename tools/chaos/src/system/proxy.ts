import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Flow } from "./flow.ts";

/** What the network between two processes does at present. */
export interface Weather {
  /** Nothing passes, nothing is closed: as when a cable is pulled. */
  silent: boolean;
  /** Milliseconds that each packet is late. */
  delayMs: number;
  /** Resets each connection after so many bytes in either direction. */
  resetAfter: number;
  /** Takes in what the client says and swallows the answer to it, then resets: the outcome is unknown. */
  swallowAnswers: boolean;
}

const FAIR: Weather = { silent: false, delayMs: 0, resetAfter: Infinity, swallowAnswers: false };

interface Pair {
  client: Socket;
  server: Socket;
  bytes: number;
  /** Whether the client has said anything since the answers are swallowed. */
  asked: boolean;
}

/** A TCP proxy whose weather can be changed while connections are open. */
export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** Changes the weather; what is not named is fair. */
  set(weather: Partial<Weather>): void;
  /** Resets all connections that are open, and returns how many. */
  reset(): number;
}

/** Listens on a free port of 127.0.0.1 and passes everything on to another one. */
export async function startProxy(target: number): Promise<Proxy> {
  let weather = FAIR;
  const pairs = new Set<Pair>();

  const end = (pair: Pair) => {
    if (!pairs.delete(pair)) return;
    pair.client.resetAndDestroy();
    pair.server.resetAndDestroy();
  };

  const pass = (pair: Pair, { from, flow }: { from: Socket; flow: Flow }, chunk: Buffer) => {
    if (weather.silent) return;
    const isAnswer = from === pair.server;
    if (weather.swallowAnswers) {
      if (!isAnswer) pair.asked = true;
      // Its effect is there by now, or will be: the answer shows that it was taken in.
      else if (pair.asked) return end(pair);
    }
    pair.bytes += chunk.length;
    if (pair.bytes > weather.resetAfter) return end(pair);
    flow.write(chunk, weather.delayMs);
  };

  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    const pair: Pair = { client, server: upstream, bytes: 0, asked: false };
    pairs.add(pair);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      const flow = new Flow(to);
      from.setNoDelay(true);
      from.on("data", (chunk: Buffer) => pass(pair, { from, flow }, chunk));
      from.on("error", () => end(pair));
      // An orderly end is passed on, after what is late.
      from.on("end", () => flow.end(weather.delayMs));
      from.on("close", () => setTimeout(() => end(pair), weather.delayMs + 10));
    }
  });
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  const reset = () => {
    const open = pairs.size;
    for (const pair of pairs) end(pair);
    return open;
  };
  return {
    port: (server.address() as AddressInfo).port,
    set(changed) {
      weather = { ...FAIR, ...changed };
      for (const pair of pairs) Object.assign(pair, { bytes: 0, asked: false });
    },
    reset,
    async [Symbol.asyncDispose]() {
      reset();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
