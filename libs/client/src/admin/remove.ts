import type { Connection } from "../connection.ts";
import { SluiceError } from "../errors.ts";
import { signalOf } from "./call-options.ts";
import type { AdminCallOptions } from "./call-options.ts";

/**
 * Deletes what is at the path. A 404 to a repeat is taken as done: the first attempt deleted it and only its answer was lost.
 */
export async function remove(
  connection: Connection,
  path: string,
  call: AdminCallOptions,
): Promise<void> {
  let repeated = false;
  try {
    const signal = signalOf(call);
    await connection.request({ method: "DELETE", path, signal, onRetry: () => (repeated = true) });
  } catch (error) {
    if (!(repeated && error instanceof SluiceError && error.status === 404)) throw error;
  }
}
