import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * Once a process goes on after it stood still (stopped by a signal, or in a container that was paused), its connections
 * are closed: what they brought nobody waits for any more. Who had a message to store has repeated the call elsewhere,
 * and the key of that is forgotten after five minutes: the message would be stored once more.
 *
 * Most connections are still with the operating system, thousands that nobody has accepted yet, which a busy machine
 * takes any time to go through. They go with the socket that they came to, which is replaced.
 *
 * @param backlog - How many may wait to be accepted.
 * @returns The timer that looks, and a look for whoever is asked to do something and should know.
 */
export function dropAfterStandstill(
  server: Server,
  { afterMs, backlog }: { afterMs: number; backlog: number },
): { look: () => void; timer: NodeJS.Timeout } {
  let lookedAt = performance.now();
  const look = () => {
    const now = performance.now();
    if (now - lookedAt > afterMs && server.listening) dropAll(server, backlog);
    lookedAt = now;
  };
  const timer = setInterval(look, afterMs / 8);
  timer.unref();
  return { look, timer };
}

function dropAll(server: Server, backlog: number): void {
  const { port, address: host } = server.address() as AddressInfo;
  server.close();
  server.closeAllConnections();
  server.listen({ port, host, backlog });
}
