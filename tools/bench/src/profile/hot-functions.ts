import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface CpuProfile {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number };
  }[];
  samples: number[];
  timeDeltas: number[];
}

/** A function and the share of a process' time that was spent in it alone, callees left out. */
export interface HotFunction {
  /** 0 to 1, of the time that the process was not idle. */
  share: number;
  name: string;
  /** `libs/engine/dist/receive/claim.js:120`, or `node:...`. */
  place: string;
}

/** The functions that took most of a process' time, first the worst. */
export function hotFunctions(profile: CpuProfile, top: number): HotFunction[] {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<string, { micros: number; name: string; place: string }>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    const micros = profile.timeDeltas[index] ?? 0;
    if (frame === undefined || frame.functionName === "(idle)") continue;
    busy += micros;
    const place = frame.url === "" ? "" : `${shortUrl(frame.url)}:${frame.lineNumber + 1}`;
    const name = frame.functionName === "" ? "(anonymous)" : frame.functionName;
    const key = `${name} ${place}`;
    const known = times.get(key);
    if (known === undefined) times.set(key, { micros, name, place });
    else known.micros += micros;
  }
  return [...times.values()]
    .sort((one, other) => other.micros - one.micros)
    .slice(0, top)
    .map(({ micros, name, place }) => ({ share: busy === 0 ? 0 : micros / busy, name, place }));
}

/** For each profile in a folder, its name and its hottest functions as lines. */
export function describeProfiles(folder: string, top = 15): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".cpuprofile"))
    .sort()
    .flatMap((name) => {
      const profile = JSON.parse(readFileSync(join(folder, name), "utf8")) as CpuProfile;
      const lines = hotFunctions(profile, top).map(
        (hot) => `  ${(hot.share * 100).toFixed(1).padStart(5)} %  ${hot.name}  ${hot.place}`,
      );
      return [join(folder, name), ...lines];
    });
}

function shortUrl(url: string): string {
  return url.replace(/^file:\/\/.*?\/(apps|libs|tools|node_modules)\//, "$1/");
}
