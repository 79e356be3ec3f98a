import { abandonChildren } from "../process/child.ts";
import type { Console } from "./console.ts";

// npm forwards the Ctrl-C that the terminal has already sent us: two signals, one key press.
const SAME_KEY_PRESS_MS = 1_000;

/** Aborts on Ctrl-C, SIGTERM or a closed terminal. A second Ctrl-C, later, ends everything at once. */
export function interruption(console: Console): AbortSignal {
  const controller = new AbortController();
  let since = 0;
  const onSignal = () => {
    if (!controller.signal.aborted) {
      since = Date.now();
      controller.abort(new Error("interrupted"));
    } else if (Date.now() - since > SAME_KEY_PRESS_MS) {
      console.alarm("Not waiting any longer.");
      abandonChildren();
      process.exit(1);
    }
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // nohup takes the terminal away from stdout: then a hangup is to be ignored, which a handler would undo.
  if (process.stdout.isTTY) process.on("SIGHUP", onSignal);
  return controller.signal;
}

/** Resolves when the signal fires. */
export function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
