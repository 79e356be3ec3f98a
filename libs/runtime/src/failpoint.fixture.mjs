// A process for failpoint.test.ts: passes one failpoint three times. It runs the build, as a real one does.
import { writeSync } from "node:fs";
import { failpoint, processConfig, runProcess } from "../dist/index.js";

runProcess({
  name: "fixture",
  config: processConfig,
  start: async () => {
    for (let pass = 1; pass <= 3; pass += 1) {
      failpoint("write.committed");
      writeSync(1, "passed\n");
    }
    process.exit(0);
  },
});
