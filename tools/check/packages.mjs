import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSync } from "oxc-parser";

/**
 * @typedef {object} Package
 * @property {string} folder "libs/bus"
 * @property {string} name "@sluice/bus"
 * @property {string} scope "scope:server", its one Nx tag of that kind
 * @property {Record<string, unknown>} manifest package.json
 */

/** Every package of the workspace. */
export function packages() {
  return ["libs", "apps", "tools"]
    .flatMap((parent) => readdirSync(parent).map((name) => `${parent}/${name}`))
    .concat("examples")
    .filter((folder) => existsSync(join(folder, "package.json")))
    .map((folder) => {
      const manifest = readJson(join(folder, "package.json"));
      const scopes = (manifest.nx?.tags ?? []).filter((tag) => tag.startsWith("scope:"));
      return { folder, name: manifest.name, scope: scopes.length === 1 ? scopes[0] : "", manifest };
    });
}

/** Paths of the TypeScript and JavaScript files in a folder, at any depth. */
export function sources(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/(^|\/)(node_modules|dist)\//.test(path));
}

/** What a file imports or exports from elsewhere: `{ line, from }`. */
export function importsOf(file) {
  const text = readFileSync(file, "utf8");
  const { staticImports, staticExports, dynamicImports } = parseSync(file, text).module;
  const requests = [
    ...staticImports.map((statement) => statement.moduleRequest),
    ...staticExports.flatMap(({ entries }) => entries.map((entry) => entry.moduleRequest)),
    ...dynamicImports.map((expression) => expression.moduleRequest),
  ];
  return requests
    .filter((request) => request !== null)
    .map(({ start, end }) => ({
      line: text.slice(0, start).split("\n").length,
      from: text.slice(start, end).replaceAll(/^["'`]|["'`]$/g, ""),
    }));
}

export function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}
