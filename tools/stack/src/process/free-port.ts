import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { isRefused } from "./refused-ports.ts";

/**
 * Where to look: below the ports that systems give to outgoing connections (from 32,768 on, or higher), of which one
 * may have the port of a server that is about to start again.
 */
const [LOWEST, BEYOND] = [10_000, 32_768];
const ATTEMPTS = 100;

/** A port of `host` that nothing listens on at this moment, and that `fetch` calls. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = randomInt(LOWEST, BEYOND);
    if (!isRefused(port) && (await isPortFree(port, host))) return port;
  }
  return (await tryListen(0, host)) as number;
}

/** Whether `port` of `host` can be listened on at this moment. */
export async function isPortFree(port: number, host = "127.0.0.1"): Promise<boolean> {
  return (await tryListen(port, host)) !== undefined;
}

function tryListen(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" || error.code === "EACCES" ? resolve(undefined) : reject(error),
    );
    probe.listen({ port, host, exclusive: true }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : port));
    });
  });
}
