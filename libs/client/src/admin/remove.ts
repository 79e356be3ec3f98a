import type { Connection } from "../connection.ts";
import { SluiceError } from "../errors.ts";
import type { Call } from "./call-options.ts";

/**
 * Deletes what is at the path. A 404 to a repeat is taken as done: the first attempt deleted it and only its answer was
 * lost.
 */
export async function remove(connection: Connection, path: string, call: Call): Promise<void> {
  let repeated = false;
  try {
    await connection.request({ method: "DELETE", path, ...call, onRetry: () => (repeated = true) });
  } catch (error) {
    if (!(repeated && error instanceof SluiceError && error.status === 404)) throw error;
  }
}
