// `npm start` and `npm run reset`.
import { prepare, tellFailure } from "./prepare.mjs";

const startedAt = Date.now();

await tellFailure(async () => {
  const progress = await prepare(process.stdout);
  const stack = await import("./stack/dist/start/index.js");
  const command = process.argv.includes("--reset") ? stack.reset : stack.start;
  // Not process.exit(): what has been written to a pipe is still on its way.
  process.exitCode = await command({ env: process.env, progress, startedAt });
});
