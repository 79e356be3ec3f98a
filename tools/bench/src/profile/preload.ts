import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { basename, dirname, join } from "node:path";

/**
 * Loaded into a process before its program: takes a CPU profile from start to exit and writes it into
 * BENCH_PROFILE_FOLDER.
 */
const folder = process.env["BENCH_PROFILE_FOLDER"];
if (folder !== undefined) {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.start");
  process.on("exit", () => {
    session.post("Profiler.stop", (error, result) => {
      if (error) return;
      // apps/api/dist/main.js → api
      const name = basename(dirname(dirname(process.argv[1] ?? "")));
      writeFileSync(
        join(folder, `${name}-${process.pid}.cpuprofile`),
        JSON.stringify(result.profile),
      );
    });
  });
}
