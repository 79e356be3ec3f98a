// `npm run chaos`.
import { prepare, tellFailure } from "./prepare.mjs";

await tellFailure(async () => {
  // With --json nothing but the report goes to stdout.
  await prepare(process.argv.includes("--json") ? process.stderr : process.stdout);
  await import("./chaos/dist/main.js");
});
