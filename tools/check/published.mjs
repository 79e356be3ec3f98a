// Installs the packages that are published as a stranger would get them, and uses them from there: every door must load
// in node and type-check, under both kinds of module resolution and without the sources of this workspace beside it.
// Run alone, after a build: `node tools/check/published.mjs`.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { packages } from "./packages.mjs";

const published = packages().filter(({ manifest }) => manifest.private !== true);
const doors = published.flatMap(({ name, manifest }) =>
  Object.keys(manifest.exports).map((door) => name + door.slice(1)),
);

const home = mkdtempSync(join(tmpdir(), "sluice-published-"));
try {
  const problems = published.flatMap((each) => install(each));
  if (problems.length === 0)
    problems.push(...load(), ...compile("nodenext"), ...compile("bundler"));
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
} finally {
  rmSync(home, { recursive: true, force: true });
}

/** Copies what `files` lists, as npm would pack it, and links what the package depends on. */
function install({ folder, name, manifest }) {
  const missing = ["package.json", ...(manifest.files ?? [])].filter(
    (file) => !existsSync(join(folder, file)),
  );
  if (missing.length > 0)
    return missing.map((file) => `${folder}/${file} is published and does not exist`);
  const target = join(home, "node_modules", name);
  for (const file of ["package.json", ...manifest.files]) {
    cpSync(join(folder, file), join(target, file), { recursive: true });
  }
  for (const dependency of Object.keys(manifest.dependencies ?? {})) linkDependency(dependency);
  return targetsOf(manifest)
    .filter((file) => !existsSync(join(target, file)))
    .map((file) => `${name} exports ${file}, which is not among its published files`);
}

function linkDependency(name) {
  const link = join(home, "node_modules", name);
  if (existsSync(link) || published.some((each) => each.name === name)) return;
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(resolve("node_modules", name), link, "junction");
}

/** Files behind the doors; the condition for sources is only ever asked for inside this workspace. */
function targetsOf({ exports }) {
  return Object.values(exports).flatMap((door) =>
    Object.entries(door).flatMap(([condition, file]) =>
      condition === "@sluice/source" ? [] : [file],
    ),
  );
}

function load() {
  const program = `for (const door of ${JSON.stringify(doors)}) await import(door);`;
  writeFileSync(join(home, "load.mjs"), program);
  return outputOf(spawnSync(process.execPath, ["load.mjs"], { cwd: home, encoding: "utf8" }));
}

function compile(resolution) {
  const program = doors.map((door, index) => `export * as door${index} from "${door}";`).join("\n");
  writeFileSync(join(home, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(home, "use.ts"), program);
  const settings = {
    module: resolution === "nodenext" ? "nodenext" : "esnext",
    moduleResolution: resolution,
    target: "es2022",
    lib: ["es2022", "dom", "dom.iterable", "dom.asynciterable", "esnext.disposable"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
  };
  writeFileSync(
    join(home, "tsconfig.json"),
    JSON.stringify({ compilerOptions: settings, files: ["use.ts"] }),
  );
  const tsc = resolve("node_modules/typescript/bin/tsc");
  return outputOf(spawnSync(process.execPath, [tsc, "-p", home], { encoding: "utf8" }));
}

function outputOf({ status, stdout, stderr }) {
  return status === 0 ? [] : [stdout + stderr];
}
