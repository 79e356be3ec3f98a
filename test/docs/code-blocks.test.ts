import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

import { codeBlocks, pages, root } from "./markdown.ts";

const run = promisify(execFile);

test("every TypeScript block in the docs type-checks", async () => {
  // Inside the project, so that the packages are found as a reader's program finds them.
  const folder = join(root, "test/docs/blocks");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  try {
    const blocks = pages().flatMap((page) =>
      codeBlocks(page, "ts").map((code, index) => ({ name: `${page.path}-${index + 1}`, code })),
    );
    expect(blocks.length).toBeGreaterThan(3);
    for (const { name, code } of blocks) {
      await writeFile(
        join(folder, `${name.replaceAll(/[^\w-]/g, "-")}.ts`),
        `${code}\nexport {};\n`,
      );
    }
    await writeFile(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: "../../../tsconfig.base.json",
        compilerOptions: { lib: ["es2023", "dom", "esnext.disposable"] },
        include: ["."],
      }),
    );
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", folder]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe("");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
