import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

import { getRequestListener } from "@hono/node-server";

import { announceClosing, close } from "./closing.ts";
import type { DirectWay } from "./direct-way.ts";
import { endStalled } from "./stalled.ts";
import { dropAfterStandstill } from "./standstill.ts";

export interface HttpServer {
  /** `http://127.0.0.1:4566` */
  url: string;
  /** From now on each answer tells its client to connect anew, elsewhere; everything is still served. */
  sendElsewhere: () => void;
  /**
   * Accepts no more, waits until every accepted request is answered. `endWaiting` is called as soon as nobody new
   * comes.
   */
  close: (endWaiting?: () => void) => Promise<void>;
}

export interface ServeOptions {
  fetch: (request: Request, env: never) => Response | Promise<Response>;
  /** Is asked first, and hands on what is not for it. */
  direct?: DirectWay;
  host: string;
  /** 0 takes any free port. */
  port: number;
  /**
   * Further connections are closed as they come: each costs memory before it has said a word. Default: as many as there
   * are file descriptors.
   */
  maxConnections?: number | undefined;
  /** A client that takes nothing of its answer for as long, in ms, is cut off. Default 30,000. */
  stalledAfterMs?: number | undefined;
  /** Bytes of answers that clients may leave unread, all together; who is slow is cut off beyond. Default 512 MiB. */
  maxUnread?: number | undefined;
  /** A process that has stood still for as long, in ms, drops what came meanwhile. Default 120,000. */
  stoodStillAfterMs?: number | undefined;
  /** Told for how many ms it stood still, when it has dropped what came meanwhile. */
  onStandstill?: ((ms: number) => void) | undefined;
}

/**
 * Connections that may wait to be accepted: thousands come back at once when another process has gone. With Node's 511
 * most of them would try again seconds later.
 */
const BACKLOG = 4_096;

/**
 * Serves an app over HTTP/1.1.
 *
 * @throws the error of `listen`: `EADDRINUSE` when the port is taken, `EACCES` when it may not be used.
 */
export async function serve(options: ServeOptions): Promise<HttpServer> {
  const { fetch, direct, host, port, maxConnections } = options;
  const { stalledAfterMs = 30_000, stoodStillAfterMs = 120_000, onStandstill } = options;
  const { maxUnread = 512 * 1024 * 1024 } = options;
  const app = getRequestListener(fetch as Parameters<typeof getRequestListener>[0]);
  const limits = {
    // A client that drips its headers or body must not hold a socket for minutes.
    headersTimeout: 10_000,
    requestTimeout: 60_000,
    // How often those two are looked at. Node's own 30 s would make 40 of the 10.
    connectionsCheckingInterval: 2_000,
    // Longer than the idle timeouts of common load balancers, so that they close first.
    keepAliveTimeout: 75_000,
    maxHeaderSize: 16 * 1024,
  };
  const server = createServer(limits, (incoming, outgoing) => {
    const next = () => void app(incoming, outgoing);
    standstill.look();
    // Also the next ones that came with a request whose connection is closed now.
    if (incoming.socket.destroyed) return;
    if (direct) direct(incoming, outgoing, next);
    else next();
  });
  const standstill = dropAfterStandstill(server, {
    afterMs: stoodStillAfterMs,
    backlog: BACKLOG,
    onStandstill,
  });
  if (maxConnections !== undefined) server.maxConnections = maxConnections;
  endQueuedAnswers(server);
  const unused = unusedConnections(server);
  const open = openAnswers(server);
  const timers = [standstill.timer, endStalled(open, { afterMs: stalledAfterMs, maxUnread })];
  let isClosing = false;
  const sendElsewhere = () => {
    if (!isClosing) announceClosing(server, open);
    isClosing = true;
  };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { address, port: actual, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${actual}`,
    sendElsewhere,
    close: (endWaiting) => {
      sendElsewhere();
      return close(server, { unused, open, endWaiting, timers });
    },
  };
}

/** Requests that may wait behind another one on their connection; who sends more is cut off. */
const MAX_QUEUED = 1_000;

/**
 * Answers that wait for their turn behind others on their connection (HTTP pipelining): when that closes Node says so
 * of the one whose turn it is alone, so the others are told here. Whoever works on them would take messages for nobody.
 */
function endQueuedAnswers(server: Server): void {
  const queuedOn = new WeakMap<Socket, Set<ServerResponse>>();
  const watched = (socket: Socket) => {
    const queued = new Set<ServerResponse>();
    queuedOn.set(socket, queued);
    socket.once("close", () => {
      for (const each of queued) each.emit("close");
    });
    return queued;
  };
  server.prependListener("request", ({ socket }, response: ServerResponse) => {
    if (response.socket !== null) return;
    const queued = queuedOn.get(socket) ?? watched(socket);
    queued.add(response);
    response.once("close", () => queued.delete(response));
    if (queued.size > MAX_QUEUED) socket.destroy();
  });
}

/**
 * Connections that have not carried a request yet, such as one opened for a call that was given up meanwhile. Node
 * counts them as busy, and once the server is closing nothing times them out: they would hold it open for as long as
 * the client likes.
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
  // One function for all of them: a closure and what `once` wraps around it are kept for as long as a long poll waits.
  function isClosed(this: ServerResponse) {
    open.delete(this);
  }
  server.prependListener("request", (_, response: ServerResponse) => {
    open.add(response);
    response.on("close", isClosed);
  });
  return open;
}
