import { SluiceError } from "../errors.ts";
import type { SluiceErrorCode } from "../errors.ts";

/** Creates it, else changes what is given of it; what it is already where nothing is. */
export async function ensure<Info>(
  exists: SluiceErrorCode,
  given: object,
  {
    create,
    update,
    get,
  }: {
    create: () => Promise<Info>;
    update: () => Promise<Info>;
    get: () => Promise<Info>;
  },
): Promise<Info> {
  try {
    return await create();
  } catch (error) {
    if (!(error instanceof SluiceError && error.code === exists)) throw error;
  }
  // A change of nothing is refused.
  const changes = Object.values(given).some((value) => value !== undefined);
  return await (changes ? update() : get());
}
