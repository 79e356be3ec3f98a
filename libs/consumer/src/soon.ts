interface Platform {
  setImmediate?: (act: () => void) => unknown;
  MessageChannel: new () => Record<"port1" | "port2", Port>;
}

interface Port {
  addEventListener(type: "message", act: () => void): void;
  start(): void;
  postMessage(message: unknown): void;
  close(): void;
}

/**
 * After this turn of the loop, when the handlers of one answer that do not wait for anything have returned. Timers are
 * throttled in browsers.
 */
export function soon(act: () => void): void {
  const { setImmediate, MessageChannel } = globalThis as unknown as Platform;
  if (setImmediate !== undefined) {
    setImmediate(act);
    return;
  }
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener("message", () => {
    port1.close();
    act();
  });
  port1.start();
  port2.postMessage(undefined);
}
