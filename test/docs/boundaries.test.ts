import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { root } from "./markdown.ts";

/** What the check says of a workspace where one package of libs/ imports another. */
function check(importer: string, imported: string, scope = "scope:server"): string {
  const home = mkdtempSync(join(tmpdir(), "sluice-boundaries-"));
  const write = (path: string, content: unknown) => {
    mkdirSync(join(home, path, ".."), { recursive: true });
    writeFileSync(
      join(home, path),
      typeof content === "string" ? content : JSON.stringify(content),
    );
  };
  try {
    write("package.json", { devDependencies: {} });
    for (const parent of ["apps", "tools"]) mkdirSync(join(home, parent));
    for (const [name, dependencies, references, tag] of [
      [imported, {}, [], "scope:server"],
      [
        importer,
        { [`@sluice/${imported}`]: "1" },
        [{ path: `../${imported}/tsconfig.build.json` }],
        scope,
      ],
    ] as const) {
      const manifest = { name: `@sluice/${name}`, exports: { ".": {} }, nx: { tags: [tag] } };
      write(`libs/${name}/package.json`, { ...manifest, dependencies });
      write(`libs/${name}/tsconfig.build.json`, { references });
    }
    write(`libs/${importer}/src/index.ts`, `import "@sluice/${imported}";\n`);
    const script = join(root, "tools/check/boundaries.mjs");
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], {
      cwd: home,
      encoding: "utf8",
    });
    expect(status).toBe(stdout === "" ? 0 : 1);
    return stdout + stderr;
  } finally {
    rmSync(home, { recursive: true });
  }
}

test.each([
  ["http-api", "engine"],
  ["start-up", "runtime"],
  ["bus", "runtime"],
])("%s may import %s, which is below it", (importer, imported) => {
  expect(check(importer, imported)).toBe("");
});

test.each([
  ["database", "engine"],
  ["runtime", "bus"],
  ["database", "bus"],
  ["http-api", "aws-api"],
])("%s may not import %s, which is above or beside it", (importer, imported) => {
  expect(check(importer, imported)).toBe(
    `libs/${importer}/src/index.ts:1 imports @sluice/${imported}, which is not below @sluice/${importer}\n`,
  );
});

test("a server package that has no place among the others is refused", () => {
  expect(check("another", "engine")).toContain("libs/another is none of the server packages");
});

test("an SDK imports no server package", () => {
  expect(check("client", "engine", "scope:sdk")).toContain("may import only scope:sdk");
});
