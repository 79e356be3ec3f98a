import type { Server, ServerResponse } from "node:http";
import { Server as NetServer, type Socket } from "node:net";

/** By the last answer on each connection: after one that says so Node sends none of those that wait behind it. */
export function announceClosing(server: Server, open: ReadonlySet<ServerResponse>): void {
  const lastOn = new WeakMap<Socket, ServerResponse>();
  const tell = (response: ServerResponse | undefined, connection: string) => {
    if (response?.headersSent === false) response.setHeader("connection", connection);
  };
  const announce = (response: ServerResponse) => {
    const { socket } = response.req;
    tell(lastOn.get(socket), "keep-alive");
    tell(response, "close");
    lastOn.set(socket, response);
  };
  for (const response of open) announce(response);
  server.prependListener("request", (_, response: ServerResponse) => {
    announce(response);
  });
}

export interface Closing {
  /** Connections that have not carried a request yet. */
  unused: ReadonlySet<Socket>;
  /** Answers that are still to be sent. */
  open: ReadonlySet<ServerResponse>;
  /** Called as soon as nobody new comes. */
  endWaiting?: (() => void) | undefined;
  /** Of what looks after the connections. */
  timers: readonly NodeJS.Timeout[];
}

/** What a request that has begun may still take to come whole, and an answer to be read, once the server closes: ms. */
const ARRIVES_WITHIN = 10_000;

/** Accepts no more, and waits until every accepted request is answered. */
export async function close(
  server: Server,
  { unused, open, endWaiting, timers }: Closing,
): Promise<void> {
  // Without an answer: clients then repeat the call elsewhere, which after Node's 408 they do not.
  server.on("clientError", (_, socket) => socket.destroy());
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
    server.requestTimeout = 1;
  }, ARRIVES_WITHIN);
  const closed = new Promise<void>((resolve) => {
    // The way of HTTP servers also ends the look at what does not come whole: a client that vanished in the middle of a
    // request would hold the server open for good.
    NetServer.prototype.close.call(server, () => {
      resolve();
    });
  });
  const closeIdle = () => {
    // To Node a connection is idle as soon as its answer is made, also while most of that is still to be sent.
    const isSending = [...open].some(({ writableEnded }) => writableEnded);
    if (isLate || !isSending) server.closeIdleConnections();
  };
  closeIdle();
  endWaiting?.();
  // A connection whose answer was sent while closing began may linger as keep-alive.
  const sweep = setInterval(() => {
    closeIdle();
    for (const socket of unused) socket.destroy();
  }, 50);
  await closed;
  // Node says so a moment before it tells of the last connections that they are closed: then messages of answers that
  // were cut off are given back, for which there has to be time.
  const cutOff = [...open].map((answer) => new Promise((resolve) => answer.once("close", resolve)));
  await Promise.all(cutOff);
  for (const timer of [late, sweep, ...timers]) clearTimeout(timer);
  // Ends that look.
  server.close();
}
