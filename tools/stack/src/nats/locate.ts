import { mkdir } from "node:fs/promises";
import { CACHE_FOLDER } from "../folders.ts";
import { natsFromDebian } from "./debian.ts";
import { findNatsOnPath, type NatsBinary } from "./find.ts";
import { natsFromRelease } from "./release.ts";

/** A nats-server to run, or why there is none: one short reason for each place that was tried. */
export type NatsSearch =
  { found: NatsBinary; reasons?: undefined } | { found?: undefined; reasons: string[] };

/** One place to take nats-server from; it fails with the reason why it has none. */
export type NatsSource = (signal?: AbortSignal) => Promise<NatsBinary>;

/** PATH, then the system's package manager, then the official release; what is downloaded is kept in `cacheDir`. */
export function natsSources(cacheDir = CACHE_FOLDER): NatsSource[] {
  const cached = (
    fetchInto: (folder: string, signal?: AbortSignal) => Promise<NatsBinary>,
  ): NatsSource => {
    return async (signal) => {
      await mkdir(cacheDir, { recursive: true });
      return fetchInto(cacheDir, signal);
    };
  };
  return [
    () => findNatsOnPath(),
    cached(natsFromDebian),
    cached((folder, signal) => natsFromRelease(folder, { signal })),
  ];
}

/** Takes nats-server from the first source that has one. Never fails: having none is an answer too. */
export async function locateNats(
  signal?: AbortSignal,
  sources = natsSources(),
): Promise<NatsSearch> {
  const reasons: string[] = [];
  for (const source of sources) {
    try {
      if (!signal?.aborted) return { found: await source(signal) };
    } catch (error) {
      reasons.push(error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error));
    }
  }
  return { reasons };
}
