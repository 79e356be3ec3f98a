import { freePort, startChild } from "@sluice/stack";

import { assemble } from "../assemble.ts";
import { peerFile } from "../peers.ts";
import type { System } from "../system.ts";

/** An emulator of SQS and SNS for tests; the 1.x line is the last that runs on Node 20. */
export const fauxqs: System = {
  name: "fauxqs",
  title: "fauxqs",
  settings: "everything in memory: nothing survives the process",
  aws: "only",
  start: async () => {
    const script = peerFile("fauxqs", "server.js");
    return assemble(async (cleanup, folder) => {
      const port = String(await freePort());
      const server = cleanup.use(
        await startChild({
          name: "fauxqs",
          command: [process.execPath, script],
          env: { FAUXQS_PORT: port, FAUXQS_HOST: "127.0.0.1" },
          cwd: folder,
          stopSignal: "SIGTERM",
          lastSignal: "SIGKILL",
          graceMs: 5_000,
        }),
      );
      await server.waitFor((line) => line.includes("Server listening") || undefined, 30_000);
      return { address: { url: `http://127.0.0.1:${port}` }, description: "an emulator" };
    });
  },
};
