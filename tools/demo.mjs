// `npm run demo`.
import { prepare, tellFailure } from "./prepare.mjs";

await tellFailure(async () => {
  // With --json nothing but the result goes to stdout.
  await prepare(process.argv.includes("--json") ? process.stderr : process.stdout);
  await import("./demo/dist/main.js");
});
