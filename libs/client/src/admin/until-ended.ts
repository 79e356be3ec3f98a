import { pause } from "../pause.ts";
import { signalOf } from "./call-options.ts";
import type { AdminCallOptions } from "./call-options.ts";

const FIRST_MS = 50;
const MOST_MS = 2_000;

/** Looks again and again, each time after twice as long, until it does not run any more. The look throws once its signal has aborted. */
export async function untilEnded<Task extends { readonly status: string }>(
  look: () => Promise<Task>,
  call: AdminCallOptions,
): Promise<Task> {
  const signal = signalOf(call);
  for (let delayMs = FIRST_MS; ; delayMs = Math.min(MOST_MS, 2 * delayMs)) {
    const task = await look();
    if (task.status !== "running") return task;
    await pause(delayMs, signal);
  }
}
