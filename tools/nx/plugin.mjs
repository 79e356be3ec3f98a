import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Infers the targets of every package and test folder from its tsconfig.json, so that none of them carries a copy:
 *
 * - build      `tsc -b`, where there is a tsconfig.build.json
 * - typecheck  `tsc` against the sources of the packages it depends on
 * - lint       oxlint with type information
 * - test       its part of the vitest run, with a Postgres and a NATS of its own
 *
 * Names, tags and dependencies come from package.json, which Nx reads itself.
 */
export const name = "sluice";

export const createNodes = [
  "{libs/*,apps/*,tools/*,test/*,examples}/tsconfig.json",
  (files, _options, { workspaceRoot }) =>
    files.map((file) => {
      const root = dirname(file);
      return [file, { projects: { [root]: project(workspaceRoot, root) } }];
    }),
];

function project(workspaceRoot, root) {
  const isTestFolder = root.startsWith("test/");
  const isBuilt = existsSync(join(workspaceRoot, root, "tsconfig.build.json"));
  return {
    ...(isTestFolder && testFolder(root)),
    targets: {
      ...(isBuilt && { build }),
      typecheck: {
        command: `tsc -p ${root}/tsconfig.json`,
        cache: true,
        inputs: ["default", "^production", "compilerSettings"],
      },
      lint: {
        command: `oxlint --type-aware ${root}`,
        cache: true,
        inputs: ["default", "^production", "compilerSettings", "{workspaceRoot}/.oxlintrc.json"],
      },
      test: {
        command: `vitest run --project ${root}`,
        cache: true,
        dependsOn: isBuilt ? ["build"] : ["^build"],
        inputs: [
          "default",
          "^production",
          { input: "production", projects: ["@sluice/stack"] },
          "{workspaceRoot}/vitest.config.ts",
          "{workspaceRoot}/docs/**/*",
          "{workspaceRoot}/*.md",
        ],
      },
    },
  };
}

const build = {
  command: "tsc -b tsconfig.build.json",
  options: { cwd: "{projectRoot}" },
  cache: true,
  dependsOn: ["^build"],
  inputs: ["production", "^production", "compilerSettings"],
  outputs: ["{projectRoot}/dist", "{projectRoot}/tsconfig.build.tsbuildinfo"],
};

/** A folder under test/ is no package, and tests the whole product. */
function testFolder(root) {
  return {
    name: root,
    projectType: "application",
    tags: ["scope:test"],
    implicitDependencies: ["tag:scope:sdk", "tag:scope:server", "tag:scope:app", "tag:scope:tool"],
  };
}
