import { isDeepStrictEqual } from "node:util";

import type { ErrorDetail } from "../errors.ts";

/**
 * The settings that are not as they were asked for, each with what it is and what was asked.
 * @param given - What was named; of the others the default was asked for
 */
export function differingSettings<Name extends string>(
  names: readonly Name[],
  settings: {
    existing: Record<Name, unknown>;
    wanted: Record<Name, unknown>;
    given: Partial<Record<Name, unknown>>;
  },
): ErrorDetail[] {
  const { existing, wanted, given } = settings;
  return names
    .filter((name) => !isDeepStrictEqual(existing[name], wanted[name]))
    .map((name) => {
      const asked = `${JSON.stringify(wanted[name])}${given[name] === undefined ? ", the default" : ""}`;
      return {
        path: name,
        message: `is ${JSON.stringify(existing[name])}; asked for was ${asked}`,
      };
    });
}
