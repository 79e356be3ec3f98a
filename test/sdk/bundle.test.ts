import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { json, scriptedServer } from "./scripted-server.ts";
import { startSluice } from "./sluice.ts";

/** Outside of the workspace, so that nothing is found beside the bundle. */
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bundle-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

const client = fileURLToPath(import.meta.resolve("@sluice/client"));

async function bundled(platform: "browser" | "node", input = client): Promise<string> {
  const bundle = await rolldown({
    input,
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
  await runs(await bundled("node"));
});

test("a program in one file runs on Node beside an undici that is not the client's", async () => {
  const undici = join(folder, "node_modules/undici");
  await mkdir(join(undici, "lib/dispatcher"), { recursive: true });
  await writeFile(join(undici, "package.json"), '{ "name": "undici", "version": "6.29.1" }');
  // It takes no handlers of the kind that the client has.
  const pool =
    "module.exports = class { dispatch() { throw new Error('invalid onError method'); } };";
  await writeFile(join(undici, "lib/dispatcher/pool.js"), pool);
  await runs(await bundled("node"));
});

test("a program that closes its producer and stops its consumer ends then", async () => {
  await using sluice = await startSluice();
  const program = fileURLToPath(new URL("ending-program.ts", import.meta.url));
  // Whatever it has set a timer for comes later.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [await bundled("node", program), sluice.url],
    { cwd: folder, timeout: 45_000 },
  );
  expect(stdout).toBe("handled\n");
});

/** Makes a call with the bundle, by a process of its own. */
async function runs(file: string): Promise<void> {
  await using server = await scriptedServer(json(200, { fine: true }));
  const program = `import { connect } from ${JSON.stringify(file)};
    const connection = connect({ url: ${JSON.stringify(server.url)}, retry: false });
    console.log(JSON.stringify(await connection.request({ method: "GET", path: "/v1/topics" })));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--eval", program],
    { cwd: folder },
  );
  expect(JSON.parse(stdout)).toEqual({ fine: true });
}
