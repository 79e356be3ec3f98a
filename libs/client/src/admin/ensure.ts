import { SluiceError } from "../errors.ts";
import type { SluiceErrorCode } from "../errors.ts";

export interface EnsureOptions<Info> {
  /** What can be changed of it. */
  readonly given: object;
  /** What `create` throws when there is one with other settings. */
  readonly exists: SluiceErrorCode;
  /** What it throws perhaps only because a new one has defaults for what is not given. Default: none. */
  readonly unfit?: readonly SluiceErrorCode[];
  readonly create: () => Promise<Info>;
  /** What the others throw when there is none, unless they return nothing. */
  readonly missing: SluiceErrorCode;
  readonly get: () => Promise<Info | undefined>;
  /** Changes what is given; told what is there, where that was looked at. */
  readonly update: (existing: Info | undefined) => Promise<Info | undefined>;
}

/**
 * Creates it, else changes what is given of it; what it is already where nothing is. One call for a new one, and for
 * one that is so already; whether there is one is looked at only where a new one would not do.
 */
export async function ensure<Info>({
  given,
  exists,
  unfit = [],
  create,
  missing,
  get,
  update,
}: EnsureOptions<Info>): Promise<Info> {
  // A change of nothing is refused.
  const changes = Object.values(given).some((value) => value !== undefined);
  let existing: Info | undefined;
  try {
    return await create();
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    if (error.code !== exists) {
      existing = unfit.includes(error.code) ? await unless(missing, get) : undefined;
      if (existing === undefined) throw error;
      if (!changes) return existing;
    }
  }
  const ensured = await unless(missing, changes ? () => update(existing) : get);
  // It may have ended since.
  return ensured ?? (await create());
}

/** Nothing where that throws such an error. */
async function unless<Info>(
  code: SluiceErrorCode,
  look: () => Promise<Info | undefined>,
): Promise<Info | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof SluiceError && error.code === code) return undefined;
    throw error;
  }
}
