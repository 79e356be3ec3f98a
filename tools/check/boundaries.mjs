// Which package may import which. Run alone: `node tools/check/boundaries.mjs`.
import { isBuiltin } from "node:module";
import { join, relative } from "node:path";
import { importsOf, packages, readJson, sources } from "./packages.mjs";

/** By the Nx tag of the importing package. Apps are entry points: nobody imports one. */
const mayImport = {
  "scope:sdk": ["scope:sdk"],
  "scope:server": ["scope:server"],
  "scope:app": ["scope:server"],
  "scope:tool": ["scope:tool", "scope:sdk"],
};

/** Server packages, uppermost first: each imports those of lines below its own, and tests of them do no more. */
const serverLayers = [
  ["start-up"],
  ["aws-api"],
  ["http-api"],
  ["engine"],
  ["database", "bus", "filter-policy"],
  ["runtime"],
].map((names) => names.map((name) => `@sluice/${name}`));

/** Tests of any package may also start the stack and drive it by the SDKs. */
const testsMayImport = ["scope:tool", "scope:sdk"];

const all = packages();
const byName = new Map(all.map((each) => [each.name, each]));
const rootDependencies = readJson("package.json").devDependencies;

const problems = all.flatMap((each) => [
  ...tagProblems(each),
  ...referenceProblems(each),
  ...sources(each.folder).flatMap((file) =>
    importsOf(file).flatMap(({ line, from }) =>
      importProblems(each, file, from).map((problem) => `${file}:${line} ${problem}`),
    ),
  ),
]);

for (const problem of problems) console.log(problem);
process.exitCode = problems.length > 0 ? 1 : 0;

function tagProblems({ folder, name, scope }) {
  if (scope === "scope:server" && layerOf(name) < 0)
    return [`${folder} is none of the server packages in tools/check/boundaries.mjs`];
  if (scope in mayImport) return [];
  const scopes = Object.keys(mayImport).join(", ");
  return [`${folder}/package.json needs exactly one of the Nx tags ${scopes}`];
}

/** `tsc -b` orders the build by references: one that is missing builds against stale types, or none. */
function referenceProblems({ folder, manifest }) {
  const file = `${folder}/tsconfig.build.json`;
  const referenced = (readJson(file).references ?? []).map(({ path }) =>
    relative(".", join(folder, path)),
  );
  const needed = Object.keys(manifest.dependencies ?? {})
    .filter((name) => byName.has(name))
    .map((name) => `${byName.get(name).folder}/tsconfig.build.json`);
  return [
    ...needed
      .filter((path) => !referenced.includes(path))
      .map((path) => `${file} lacks a reference to ${path}`),
    ...referenced
      .filter((path) => !needed.includes(path))
      .map((path) => `${file} refers to ${path}, which is no dependency`),
  ];
}

function importProblems(importer, file, from) {
  const isTest =
    /\.(test|fixture|bench)\.(ts|mjs)$/.test(file) || !file.startsWith(`${importer.folder}/src/`);
  if (from.startsWith(".")) return relativeProblems(importer, file, from);
  if (isBuiltin(from)) return builtinProblems(importer, from, isTest);
  const name = from.split("/", from.startsWith("@") ? 2 : 1).join("/");
  return [
    ...directionProblems(importer, name, isTest),
    ...doorProblems(name, from),
    ...(isDeclared(importer, name, isTest)
      ? []
      : [`imports ${name}, which package.json does not declare`]),
  ];
}

function relativeProblems(importer, file, from) {
  const target = relative(importer.folder, join(file, "..", from));
  return target.startsWith("..") ? [`imports ${from}, outside of its package`] : [];
}

/** The SDKs run in browsers. */
function builtinProblems({ scope }, from, isTest) {
  if (!from.startsWith("node:")) return [`imports ${from}: write node:${from}`];
  return scope === "scope:sdk" && !isTest ? [`imports ${from}, which browsers lack`] : [];
}

function directionProblems(importer, name, isTest) {
  const imported = byName.get(name);
  if (imported === undefined || imported === importer) return [];
  const allowed = [...(mayImport[importer.scope] ?? []), ...(isTest ? testsMayImport : [])];
  if (!allowed.includes(imported.scope))
    return [
      `imports ${name} (${imported.scope}), but ${importer.scope} may import only ${allowed.join(", ")}`,
    ];
  const isServer = importer.scope === "scope:server" && imported.scope === "scope:server";
  if (!isServer || layerOf(importer.name) < layerOf(name)) return [];
  return [`imports ${name}, which is not below ${importer.name}`];
}

function layerOf(name) {
  return serverLayers.findIndex((layer) => layer.includes(name));
}

function doorProblems(name, from) {
  const imported = byName.get(name);
  if (imported === undefined) return [];
  const door = `.${from.slice(name.length)}`;
  return door in imported.manifest.exports
    ? []
    : [`imports ${from}, which ${name} does not export`];
}

/** What only ever runs inside this workspace may also use what the workspace itself has installed. */
function isDeclared({ name: self, manifest, scope }, name, isTest) {
  const declared =
    isTest || scope === "scope:tool"
      ? { ...rootDependencies, ...manifest.devDependencies, ...manifest.dependencies }
      : { ...manifest.dependencies, ...manifest.peerDependencies };
  return name === self || name in declared;
}
