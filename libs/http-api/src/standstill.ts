import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface StandstillOptions {
  /** In ms. */
  afterMs: number;
  /** How many connections may wait to be accepted. */
  backlog: number;
  /** Told for how many ms it stood still, when its connections are closed. */
  onStandstill?: ((ms: number) => void) | undefined;
}

/**
 * Once a process goes on after it stood still (stopped by a signal, or in a container that was paused), its connections
 * are closed: what they brought nobody waits for any more. Who had a message to store has repeated the call elsewhere,
 * and the key of that is forgotten after five minutes: the message would be stored once more.
 *
 * Most connections are still with the operating system, thousands that nobody has accepted yet, which a busy machine
 * takes any time to go through. They go with the socket that they came to, which is replaced.
 *
 * @returns The timer that looks, and a look for whoever is asked to do something and should know.
 */
export function dropAfterStandstill(
  server: Server,
  { afterMs, backlog, onStandstill }: StandstillOptions,
): { look: () => void; timer: NodeJS.Timeout } {
  let lookedAt = performance.now();
  const look = () => {
    const now = performance.now();
    const stoodFor = now - lookedAt;
    lookedAt = now;
    if (stoodFor <= afterMs || !server.listening) return;
    dropAll(server, backlog);
    onStandstill?.(stoodFor);
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
