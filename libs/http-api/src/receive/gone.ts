import type { GoneSignal, Received } from "@sluice/engine";

import type { Call } from "../environment.ts";

/** Aborted when the client hangs up before the whole answer was handed to the network, or when its key is disabled. */
export function goneSignal({ env, req, var: { watchKey } }: Call): GoneSignal {
  const gone = new Gone();
  const { incoming, outgoing } = env ?? {};
  if (!incoming || !outgoing) return req.raw?.signal ?? gone;
  // Not that of the answer: it has none yet where others go before it on its connection.
  const { socket } = incoming;
  let written = false;
  outgoing.on("finish", () => {
    // Node says so also of an answer that was still in its buffers when the connection broke.
    written = !socket.destroyed && socket.errored === null;
  });
  const endWatch = watchKey?.(() => {
    gone.abort();
  });
  outgoing.on("close", () => {
    endWatch?.();
    if (!written) gone.abort();
  });
  return gone;
}

/** A client that goes away before the answer is written gets nothing: the messages are visible again at once. */
export function releaseUnlessRead(received: Pick<Received, "release">, signal: GoneSignal): void {
  const release = () => {
    void received.release();
  };
  if (signal.aborted) release();
  else signal.addEventListener("abort", release);
}

/**
 * What is needed of an AbortController and its signal, which take some microseconds and half a kilobyte to make, listen
 * to and leave again.
 */
export class Gone implements GoneSignal {
  aborted = false;
  #listeners: (() => void)[] = [];

  addEventListener(_: "abort", listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_: "abort", listener: () => void): void {
    this.#listeners = this.#listeners.filter((one) => one !== listener);
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    for (const listener of this.#listeners) listener();
  }
}
