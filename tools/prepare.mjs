// Makes a fresh clone fit to run. Plain JavaScript without dependencies: nothing else is there yet.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Checks Node, installs and builds what is missing, shows both on the stream and gives what it showed them with.
 *
 * @param {import("node:tty").WriteStream} stream
 */
export async function prepare(stream) {
  requireNode(20, 19);
  // Not imported before the check: an old Node would stumble over its syntax and say nothing useful.
  const { createProgress } = await import("./stack/progress.mjs");
  const progress = createProgress(stream);
  await install(progress);
  await progress.step("Build", build);
  return progress;
}

/** Runs a command; what it throws is told in one line. */
export async function tellFailure(command) {
  process.stderr.on("error", () => {});
  await command().catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}

function requireNode(major, minor) {
  const [haveMajor, haveMinor] = process.versions.node.split(".").map(Number);
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return;
  throw new Error(
    `Sluice needs Node ${major}.${minor} or newer; this is ${process.versions.node} (${process.execPath}).`,
  );
}

async function install(progress) {
  const stamp = join(root, "node_modules", ".sluice-installed");
  const wanted = installationKey();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  if (!existsSync(stamp) && installedByHand()) return writeFileSync(stamp, wanted);
  // Not npm ci, which deletes what is there first, and refuses a lock file that lacks the optional package of a
  // platform nobody here uses. This, too, installs what the lock file says, and does not write to it.
  const how = ["--no-save", "--include=dev", "--prefer-offline", "--no-audit", "--no-fund"];
  await progress.step("Dependencies (npm install)", () => npm("install", ...how));
  writeFileSync(stamp, wanted);
}

/** What node_modules depends on: the lock file, and the platform that its binaries are for. */
function installationKey() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  return `${lock} ${process.platform}-${process.arch}\n`;
}

/** npm leaves a lock file of its own inside node_modules: newer than ours, it speaks for an install of this version. */
function installedByHand() {
  const theirs = join(root, "node_modules", ".package-lock.json");
  return (
    existsSync(theirs) &&
    statSync(theirs).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs
  );
}

function npm(...args) {
  const cli = process.env.npm_execpath;
  if (cli && basename(cli).startsWith("npm-cli")) return run(process.execPath, [cli, ...args]);
  return run(process.platform === "win32" ? "npm.cmd" : "npm", args);
}

function build() {
  return run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-b"]);
}

/** Runs a command silently; what it said is shown when it fails. */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => (output += chunk));
    child.on("error", (error) =>
      reject(new Error(`${command} could not be run: ${error.message}`)),
    );
    child.on("close", (code, signal) => {
      if (code === 0) return resolve();
      const said = output.trimEnd().split("\n").slice(-40).join("\n");
      reject(
        new Error(
          `${said}\n${basename(command)} ${args.join(" ")} failed (${signal ?? `exit code ${code}`}).`,
        ),
      );
    });
  });
}
