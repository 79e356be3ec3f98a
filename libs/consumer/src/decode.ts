import type { PayloadFormat } from "@sluice/client";
import { isPromise, locateMismatch } from "@sluice/client/internal";
import type { HeldMessage } from "./held-message.ts";

/**
 * Reads the body as declared into the message's payload; returns a promise only when the schema does. Throws
 * `schema_mismatch`.
 */
export function decode(
  format: PayloadFormat<never, unknown>,
  message: HeldMessage,
): void | Promise<void> {
  try {
    const payload = format.decode(message.body);
    if (!isPromise(payload)) {
      message.payload = payload;
      return;
    }
    return payload.then(
      (late) => {
        message.payload = late;
      },
      (error: unknown) => {
        throw locateMismatch(error, "payload");
      },
    );
  } catch (error) {
    throw locateMismatch(error, "payload");
  }
}
