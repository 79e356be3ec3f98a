import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { json, scriptedServer } from "./scripted-server.ts";

/** Outside of the workspace, so that nothing is found beside the bundle. */
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bundle-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function bundled(platform: "browser" | "node"): Promise<string> {
  const bundle = await rolldown({
    input: fileURLToPath(import.meta.resolve("@sluice/client")),
    platform,
    resolve: { conditionNames: ["@sluice/source", "import", "default"] },
    onLog: (_, { message }) => {
      throw new Error(message);
    },
  });
  const file = join(folder, `${platform}.mjs`);
  await bundle.write({ file, format: "esm" });
  await bundle.close();
  return file;
}

test("a program for browsers has nothing of Node's in it", async () => {
  const text = await readFile(await bundled("browser"), "utf8");
  expect(text).not.toMatch(/^import |import\(|require\("/m);
});

test("a program in one file runs on Node with nothing beside it", async () => {
  const file = await bundled("node");
  await using server = await scriptedServer(json(200, { fine: true }));
  const program = `import { connect } from ${JSON.stringify(file)};
    console.log(JSON.stringify(await connect({ url: ${JSON.stringify(server.url)} }).request({ method: "GET", path: "/v1/topics" })));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--eval", program],
    { cwd: folder },
  );
  expect(JSON.parse(stdout)).toEqual({ fine: true });
});
