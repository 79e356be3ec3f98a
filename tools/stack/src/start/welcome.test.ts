import { expect, test } from "vitest";
import { welcome } from "./welcome.ts";

test("every line to copy fits a terminal of 80 columns", () => {
  const text = welcome({
    url: "http://127.0.0.1:45660",
    seconds: 12.34,
    data: ".sluice/data (npm run reset clears it)",
    logs: ".sluice/data/logs",
  });
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
});
