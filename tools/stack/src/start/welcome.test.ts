import { expect, test } from "vitest";
import { welcome } from "./welcome.ts";

const up = {
  url: "http://127.0.0.1:45660",
  seconds: 12.34,
  data: ".sluice/data (npm run reset clears it)",
  logs: ".sluice/data/logs",
  postgres: { port: 45661, folder: ".sluice/data/postgres" },
};

test.each([false, true])(
  "every line to copy fits a terminal of 80 columns (needs key: %s)",
  (needsKey) => {
    for (const line of welcome({ ...up, needsKey }).split("\n"))
      expect(line.length).toBeLessThanOrEqual(80);
  },
);
