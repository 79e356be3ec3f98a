import type { AddressInfo, Socket } from "node:net";
import type { Server, ServerResponse } from "node:http";

import { createAdaptorServer } from "@hono/node-server";

export interface HttpServer {
  /** `http://127.0.0.1:4566` */
  url: string;
  /** Accepts no more, waits until every accepted request is answered. `endWaiting` is called as soon as nobody new comes. */
  close: (endWaiting?: () => void) => Promise<void>;
}

export interface ServeOptions {
  fetch: (request: Request, env: never) => Response | Promise<Response>;
  host: string;
  /** 0 takes any free port. */
  port: number;
}

/**
 * Serves an app over HTTP/1.1.
 *
 * @throws the error of `listen`: `EADDRINUSE` when the port is taken, `EACCES` when it may not be used.
 */
export async function serve({ fetch, host, port }: ServeOptions): Promise<HttpServer> {
  const server = createAdaptorServer({
    fetch: fetch as Parameters<typeof createAdaptorServer>[0]["fetch"],
    serverOptions: {
      // A client that drips its headers or body must not hold a socket for minutes.
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      // Longer than the idle timeouts of common load balancers, so that they close first.
      keepAliveTimeout: 75_000,
      maxHeaderSize: 16 * 1024,
    },
  }) as Server;
  const unused = unusedConnections(server);
  const open = openAnswers(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { address, port: actual, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${actual}`,
    close: (endWaiting) => close(server, { unused, open, endWaiting }),
  };
}

/**
 * Connections that have not carried a request yet, such as one opened for a call that was given up meanwhile. Node counts
 * them as busy, and once the server is closing nothing times them out: they would hold it open for as long as the client likes.
 */
function unusedConnections(server: Server): Set<Socket> {
  const unused = new Set<Socket>();
  server.on("connection", (socket) => {
    unused.add(socket);
    socket.once("close", () => unused.delete(socket));
  });
  server.on("request", ({ socket }) => unused.delete(socket));
  return unused;
}

/** Answers that are still to be sent. */
function openAnswers(server: Server): Set<ServerResponse> {
  const open = new Set<ServerResponse>();
  server.prependListener("request", (_, response: ServerResponse) => {
    open.add(response);
    response.once("close", () => open.delete(response));
  });
  return open;
}

interface Closing {
  unused: Set<Socket>;
  open: Set<ServerResponse>;
  endWaiting?: (() => void) | undefined;
}

async function close(server: Server, { unused, open, endWaiting }: Closing): Promise<void> {
  // Answers from now on tell their clients to connect anew, elsewhere.
  const announceClosing = (response: ServerResponse) => {
    if (!response.headersSent) response.setHeader("connection", "close");
  };
  for (const response of open) announceClosing(response);
  server.prependListener("request", (_, response: ServerResponse) => {
    announceClosing(response);
  });
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  endWaiting?.();
  // A connection whose answer was sent while closing began may linger as keep-alive.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
    for (const socket of unused) socket.destroy();
  }, 50);
  await closed;
  clearInterval(sweep);
}
