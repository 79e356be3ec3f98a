import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** What happens to one request: nothing, it is not forwarded, or it is and its answer is lost. */
export type Fault = "pass" | "cut" | "unavailable" | "come back in a second" | "lose answer";

export interface FaultyProxy extends AsyncDisposable {
  readonly url: string;
  /** The next requests whose path ends so meet these faults, in order. */
  fail(pathEnd: string, ...faults: Fault[]): void;
  /** No request meets a fault any more. */
  mend(): void;
  /** Cuts every connection and every request until up(). */
  down(): void;
  up(): void;
  /** How many requests whose path ends so have come. */
  count(pathEnd: string): number;
}

/** A network that fails on demand, between an SDK and a real server. */
export async function faultyProxy(target: string): Promise<FaultyProxy> {
  const faults: { pathEnd: string; fault: Fault }[] = [];
  const paths: string[] = [];
  let isDown = false;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    paths.push(path);
    const index = faults.findIndex(({ pathEnd }) => path.endsWith(pathEnd));
    const fault = isDown ? "cut" : faults.splice(index, index < 0 ? 0 : 1)[0]?.fault;
    const body = await buffer(request);
    if (fault === "cut") return void response.destroy();
    if (fault === "unavailable") return void response.writeHead(503).end();
    if (fault === "come back in a second")
      return void response.writeHead(503, { "retry-after": "1" }).end();
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const answer = await forward(target + path, { request, body, signal: gone.signal });
    if (fault === "lose answer") return void response.destroy();
    const headers = { "content-type": answer.headers.get("content-type") ?? "text/plain" };
    response.writeHead(answer.status, headers).end(Buffer.from(await answer.arrayBuffer()));
  }

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  // An idle socket is the client's to close: a request that it sends on one that ends here just then is lost.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fail: (pathEnd, ...kinds) => faults.push(...kinds.map((fault) => ({ pathEnd, fault }))),
    mend: () => void faults.splice(0),
    down() {
      isDown = true;
      server.closeAllConnections();
    },
    up: () => (isDown = false),
    count: (pathEnd) => paths.filter((path) => path.endsWith(pathEnd)).length,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function forward(
  url: string,
  { request, body, signal }: { request: IncomingMessage; body: Buffer; signal: AbortSignal },
): Promise<Response> {
  const { connection: _, host: __, "content-length": ___, ...headers } = request.headers;
  const init = {
    method: request.method ?? "GET",
    headers: headers as Record<string, string>,
    signal,
  };
  return fetch(url, body.length === 0 ? init : { ...init, body: new Uint8Array(body) });
}
