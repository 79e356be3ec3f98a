import { pause } from "../pause.ts";

const FIRST_MS = 50;
const MOST_MS = 2_000;

/**
 * Looks again and again, each time after twice as long, until it does not run any more. The look throws once its signal
 * has aborted.
 */
export async function untilEnded<Task extends { readonly status: string }>(
  look: () => Promise<Task>,
  signal: AbortSignal | undefined,
): Promise<Task> {
  for (let delayMs = FIRST_MS; ; delayMs = Math.min(MOST_MS, 2 * delayMs)) {
    const task = await look();
    if (task.status !== "running") return task;
    await pause(delayMs, signal);
  }
}
