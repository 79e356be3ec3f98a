import { fileURLToPath } from "node:url";

/** A server started with these keeps count of what its statements cost. */
export const profilingPostgres = {
  shared_preload_libraries: "pg_stat_statements",
  "pg_stat_statements.track_planning": "on",
};

let loadFolder: string | undefined;
let profiles = 0;

/** From now on the processes of the load write CPU profiles into this folder. */
export function profileLoad(folder: string | undefined): void {
  loadFolder = folder;
}

/** Arguments for node with which a process of the load writes its profile when it ends. */
export function profilingArguments(name: string): string[] {
  if (loadFolder === undefined) return [];
  return [
    "--cpu-prof",
    `--cpu-prof-dir=${loadFolder}`,
    `--cpu-prof-name=load-${name}-${(profiles += 1)}.cpuprofile`,
  ];
}

/**
 * Environment with which API and dispatcher do: node takes no `--cpu-prof` from its environment, so a module is loaded
 * first.
 */
export function profilingEnvironment(folder: string | undefined): NodeJS.ProcessEnv {
  if (folder === undefined) return {};
  const preload = fileURLToPath(new URL("../../dist/profile/preload.js", import.meta.url));
  return { NODE_OPTIONS: `--import=${preload}`, BENCH_PROFILE_FOLDER: folder };
}
