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
      const asked = `${shown(wanted[name])}${given[name] === undefined ? ", the default" : ""}`;
      return {
        path: name,
        message: `is ${shown(existing[name])}; asked for was ${asked}`,
      };
    });
}

/** Most characters that are shown of a value: a filter policy may have 256 KiB. */
const MOST_SHOWN = 200;

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}
