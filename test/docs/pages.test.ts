import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { anchors, codeBlocks, fileLinks, pages, root } from "./markdown.ts";

const all = pages();
const readme = all.find((page) => page.path === "README.md");

describe.each(all)("$path", (page) => {
  test("links to files and headings that exist", () => {
    const broken = fileLinks(page).filter(({ target, anchor }) => {
      if (!existsSync(join(root, target))) return true;
      const linked = all.find(({ path }) => path === target);
      return anchor !== undefined && linked !== undefined && !anchors(linked).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});

test.each([
  ["README.md", "quick-start"],
  ["docs/outbox.md", "outbox"],
  ["docs/filters.md", "filters"],
])("%s shows the example %s as it is", (path, example) => {
  const page = all.find((each) => each.path === path);
  const code = readFileSync(join(root, `examples/src/${example}.ts`), "utf8");
  expect(page && codeBlocks(page, "ts")).toContain(code);
});

test("every command in the README is a script of package.json", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const commands = readme ? codeBlocks(readme, "sh").join("") : "";
  const used = [...commands.matchAll(/^npm (?:run )?([a-z-]+)/gm)].map((match) => match[1] ?? "");
  expect(used.length).toBeGreaterThan(4);
  expect(used.filter((name) => !(name in scripts))).toEqual([]);
});

test("every program that a page starts exists", () => {
  const commands = all.flatMap((page) => codeBlocks(page, "sh")).join("");
  const programs = [...commands.matchAll(/^node (\S+)\.js/gm)].map((match) => match[1] ?? "");
  expect(programs).toContain("apps/api/dist/main");
  const sources = programs.map((program) => `${program.replace("/dist/", "/src/")}.ts`);
  expect(sources.filter((source) => !existsSync(join(root, source)))).toEqual([]);
});

test("access keys are made by what an installation has: no compiler, and nothing before the JSON", () => {
  const page = all.find(({ path }) => path === "docs/aws.md");
  const commands = page ? codeBlocks(page, "sh").join("") : "";
  expect(commands).toMatch(/^node apps\/api\/dist\/access-key\.js create/m);
  expect(commands).not.toContain("npm run");
});

test("every file in the journey table exists", () => {
  const table = readme?.text.split("## The journey of a message")[1]?.split("\n## ")[0] ?? "";
  const files = [...table.matchAll(/\]\(([^)]+\.ts)\)/g)].map((match) => match[1] ?? "");
  expect(files.length).toBeGreaterThan(10);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});
