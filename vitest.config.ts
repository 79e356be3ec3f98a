import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Every package, and every folder under test/. */
const folders = ["libs", "apps", "tools", "test"]
  .flatMap((parent) => readdirSync(parent).map((name) => `${parent}/${name}`))
  .concat("examples")
  .filter((path) => existsSync(`${path}/tsconfig.json`));

/** Packages resolve each other to their TypeScript source, so that a test never sees a stale build. */
// Not "module": it stands for code that only bundlers can load.
const conditions = ["@sluice/source", "node", "development"];

export default defineConfig({
  test: {
    // Started once for the whole run: one Postgres and one NATS, on ports and in folders of their own. A project that
    // extended this file would start its own, so they share only what is named here.
    globalSetup: "tools/stack/src/testing.ts",
    maxWorkers: 2,
    // Its Postgres writes all that it has before it ends.
    teardownTimeout: 60_000,
    projects: folders.map((path) => ({
      resolve: { conditions },
      ssr: { resolve: { conditions } },
      test: {
        name: path,
        root: path,
        include: ["**/*.test.ts"],
        setupFiles: ["quiet-tests", "patient-tests"].map((name) =>
          fileURLToPath(new URL(`tools/check/${name}.mjs`, import.meta.url)),
        ),
        // A second, its default, is what a busy machine may stand still for.
        expect: { poll: { timeout: 15_000 } },
        // They end tests that hang; a busy machine takes five times as long as a quiet one.
        testTimeout: 60_000,
        hookTimeout: 120_000,
      },
    })),
    passWithNoTests: true,
  },
});
