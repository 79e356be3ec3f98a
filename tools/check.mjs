// `npm run check`: everything that can be said about the code without running it. One line a step; what a step has to
// say is shown when it fails. All steps run, so that one call tells everything.
import { spawn } from "node:child_process";
import { join } from "node:path";

const steps = {
  format: ["prettier", "--check", "--log-level=warn", "."],
  lint: ["oxlint", "--type-aware"],
  comments: ["node", "tools/check/comments.mjs"],
  types: ["nx", "run-many", "-t", "typecheck", "--output-style=static"],
  "dead code": ["knip", "--no-config-hints"],
  boundaries: ["node", "tools/check/boundaries.mjs"],
  build: ["tsc", "-b"],
  "published packages": ["node", "tools/check/published.mjs"],
};

let failed = 0;
for (const [name, command] of Object.entries(steps)) {
  const started = performance.now();
  const { ok, output } = await run(command);
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(`${ok ? "ok    " : "FAILED"}  ${name.padEnd(20)}${seconds.padStart(5)} s`);
  if (!ok) console.log(`\n${output.trimEnd()}\n`);
  failed += ok ? 0 : 1;
}
console.log(failed === 0 ? "everything holds" : `${failed} of ${Object.keys(steps).length} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function run([program, ...args]) {
  const path = program === "node" ? process.execPath : join("node_modules", ".bin", program);
  const child = spawn(path, args, { shell: process.platform === "win32" && program !== "node" });
  const chunks = [];
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  child.stderr.on("data", (chunk) => chunks.push(chunk));
  const code = await new Promise((resolve, reject) =>
    child.on("close", resolve).on("error", reject),
  );
  return { ok: code === 0, output: Buffer.concat(chunks).toString() };
}
