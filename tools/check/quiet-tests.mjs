// A test that writes to the console fails: what is worth saying has a logger, and a library warns of our mistakes
// there.
import { format } from "node:util";
import { afterEach } from "vitest";

const lines = [];
for (const method of ["debug", "error", "info", "log", "warn"]) {
  console[method] = (...args) => lines.push(`console.${method}: ${format(...args)}`);
}

afterEach(() => {
  const written = lines.splice(0);
  if (written.length > 0) throw new Error(`the test wrote to the console\n${written.join("\n")}`);
});
