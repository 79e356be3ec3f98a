import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { errorTable } from "@sluice/engine";
import { messageMetrics, requestMetrics } from "@sluice/http-api";
import { createLogger, createMetrics } from "@sluice/runtime";
import { expect, test } from "vitest";

import { codesInTables, pages, root } from "./markdown.ts";

function page(path: string) {
  const found = pages().find((one) => one.path === path);
  if (!found) throw new Error(`there is no ${path}`);
  return found;
}

test("docs/errors.md lists every error code with its status", () => {
  const text = page("docs/errors.md").text.replaceAll(/ +/g, " ");
  for (const [code, { status, retryable }] of Object.entries(errorTable)) {
    expect(text).toContain(`| \`${code}\` | ${status} | ${retryable ? "yes" : "no"} |`);
  }
});

test("docs/metrics.md lists every metric of ours", async () => {
  const registry = createMetrics();
  messageMetrics(registry, createLogger({ name: "docs", level: "silent" }));
  requestMetrics(registry);
  const names = (await registry.getMetricsAsJSON()).map(({ name }) => name);
  const documented = codesInTables(page("docs/metrics.md")).filter((code) =>
    code.startsWith("sluice_"),
  );
  expect(documented.toSorted()).toEqual(
    names.filter((name) => name.startsWith("sluice_")).toSorted(),
  );
});

test("docs/metrics.md lists every log event", () => {
  const events = new Set(
    ["libs", "apps"].flatMap(sources).flatMap((file) => {
      const found = readFileSync(join(root, file), "utf8").matchAll(
        /^[^*\n]*\bevent: "([a-z-]+\.[a-z.-]+)"/gm,
      );
      return [...found].map((match) => match[1] ?? "");
    }),
  );
  // runProcess names these three through a helper.
  for (const event of ["process.crashed", "process.start-failed", "process.stop-failed"])
    events.add(event);
  const documented = codesInTables(page("docs/metrics.md")).filter((code) => code.includes("."));
  expect(documented.toSorted()).toEqual([...events].toSorted());
});

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter(
      (file) => /\/src\/.*\.ts$/.test(file) && !/\.test\.ts$|\/dist\/|node_modules/.test(file),
    )
    .map((file) => join(folder, file));
}
