import type { Connection } from "../connection.ts";
import { SluiceError } from "../errors.ts";
import type { Call } from "./call-options.ts";

/**
 * Deletes what is at the path. A 404 to the repeat of an attempt that may have been carried out is taken as done: that
 * deleted it, and only its answer was lost.
 */
export async function remove(connection: Connection, path: string, call: Call): Promise<void> {
  try {
    await connection.request({ method: "DELETE", path, ...call });
  } catch (error) {
    if (!(error instanceof SluiceError && error.status === 404 && error.outcomeUnknown))
      throw error;
  }
}
