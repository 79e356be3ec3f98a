import { databaseStrikes } from "./database.ts";
import { diskStrikes } from "./disk.ts";
import { networkStrikes } from "./network.ts";
import { failpointStrike, processStrikes } from "./processes.ts";
import type { Strike } from "./nemesis.ts";

/** Where a process dies on the way of a message; the names are the product's own (libs/runtime, failpoint). */
const failpoints = {
  api: [
    "write.before-commit",
    "write.committed",
    "write.before-answer",
    "claim.met-dead-letters",
    "claim.committed",
    "acknowledge.before-commit",
    "acknowledge.committed",
    "visibility.committed",
  ],
  dispatcher: [
    "fan-out.announced",
    "fan-out.committed",
    "redrive.before-step",
    "redrive.committed",
  ],
} as const;

/** Everything bad that can be done, by name. */
export const nemeses: Readonly<Record<string, Strike>> = {
  ...processStrikes,
  ...databaseStrikes,
  ...diskStrikes,
  ...networkStrikes,
  ...Object.fromEntries(
    (["api", "dispatcher"] as const).flatMap((kind) =>
      failpoints[kind].map((point) => [`crash-at-${point}`, failpointStrike(point, kind)]),
    ),
  ),
};

/**
 * The names that a list of patterns selects: `all`, a name, or its beginning with a star (`kill-*`).
 *
 * @throws when a pattern selects nothing
 */
export function selectNemeses(patterns: readonly string[]): string[] {
  const names = Object.keys(nemeses);
  const selected = patterns.flatMap((pattern) => {
    const found = names.filter(
      (name) =>
        pattern === "all" ||
        name === pattern ||
        (pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1))),
    );
    if (found.length === 0 && pattern !== "none")
      throw new Error(`there is no nemesis "${pattern}"; there are ${names.join(", ")}`);
    return found;
  });
  return [...new Set(selected)];
}
