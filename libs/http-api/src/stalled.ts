import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Ends connections of which nobody reads the answer, and which would hold it for as long as the client likes. Looked at
 * from time to time, since most answers are written before that and pay nothing for it. Node tells how far a write is:
 * one that goes on is not stalled. Where too much is held all the same, as by a thousand clients that read a little of
 * their 4 MiB now and then, those that were at it when it was looked before are ended as well, the oldest first; and so
 * are those with several answers to take, which may all wait behind one that has not begun.
 */
export function endStalled(
  open: ReadonlySet<ServerResponse>,
  { afterMs, maxUnread }: { afterMs: number; maxUnread: number },
): NodeJS.Timeout {
  const seen = new WeakSet<ServerResponse>();
  const look = setInterval(() => {
    const unread = [...open].filter(({ writableLength }) => writableLength > 0);
    let held = unread.reduce((sum, { writableLength }) => sum + writableLength, 0);
    const sockets = new Set<Socket>();
    for (const response of unread) {
      const { writableLength } = response;
      // Not that of the answer: it has none yet where others go before it on its connection.
      const { socket } = response.req;
      const isSlow = seen.has(response) || sockets.has(socket);
      seen.add(response);
      sockets.add(socket);
      if (socket.timeout !== afterMs) giveTime(response, afterMs);
      if (!isSlow || held <= maxUnread) continue;
      held -= writableLength;
      socket.destroy();
    }
  }, afterMs / 6);
  look.unref();
  return look;
}

function giveTime(response: ServerResponse, afterMs: number): void {
  const { socket } = response;
  if (!socket) return;
  socket.setTimeout(afterMs);
  // Before Node sets the timeout of a connection that waits for its next request.
  response.prependOnceListener("finish", () => {
    socket.setTimeout(0);
  });
}
