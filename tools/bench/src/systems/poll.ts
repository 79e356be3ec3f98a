import { setTimeout as sleep } from "node:timers/promises";

/**
 * Receives in a loop, again at once after each receive that brought something and after a pause when it did not. Gives
 * how to stop, which resolves when the last round is over and throws what a round failed with.
 */
export function poll(
  { interval, pollers }: { interval: number; pollers: number },
  receive: () => Promise<boolean>,
): () => Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = async () => {
    while (!signal.aborted) {
      const received = await receive();
      if (!received) await sleep(interval, undefined, { signal }).catch(() => undefined);
    }
  };
  const loops = Promise.all(Array.from({ length: pollers }, loop));
  // A consumer whose receives fail would wait for ever: its process ends instead.
  loops.catch((error: unknown) => {
    process.nextTick(() => {
      throw error;
    });
  });
  return async () => {
    stopping.abort();
    await loops;
  };
}
