// `npm start` and `npm run reset`.
import { prepare, tellFailure } from "./prepare.mjs";

const usage = `npm start        Postgres, NATS, API and dispatcher, all on this machine,
                 until Ctrl-C
npm run reset    deletes the data of npm start, unless something runs on it

  --help         print this, and do nothing

The data is in .sluice/data, or where SLUICE_DATA_DIR says. What else is read of
the environment (PORT, DATABASE_URL, NATS_URL …) is in docs/configuration.md.
`;

const startedAt = Date.now();

await tellFailure(async () => {
  const args = process.argv.slice(2);
  // Before anything is done: a reset cannot be undone.
  if (args.includes("--help") || args.includes("-h")) return void process.stdout.write(usage);
  const unknown = args.find((argument) => argument !== "--reset");
  if (unknown !== undefined) {
    process.stderr.write(`there is no ${unknown}\n\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const progress = await prepare(process.stdout);
  const stack = await import("./stack/dist/start/index.js");
  const command = args.includes("--reset") ? stack.reset : stack.start;
  // Not process.exit(): what has been written to a pipe is still on its way.
  process.exitCode = await command({ env: process.env, progress, startedAt });
});
