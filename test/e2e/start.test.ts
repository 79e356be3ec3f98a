import { access, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@sluice/stack/testing";
import { expect, test } from "vitest";
import { run } from "./run.ts";

// A start that goes on in spite of what was written ends at once: this is no port.
const PORT = "http";

test.each([["--help"], ["-h"], ["--reset", "--help"], ["--help", "--reset"]])(
  "npm start tells how it is used and touches nothing: %s %s",
  async (...args) => {
    await using data = await dataOfAStart();
    const told = await run("tools/start.mjs", { args, env: { PORT, SLUICE_DATA_DIR: data.path } });
    expect(told).toMatchObject({ code: 0, stderr: "" });
    expect(told.stdout).toMatch(/^npm start .*npm run reset /s);
    for (const line of told.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    await access(data.file);
  },
);

test.each([["--dry-run"], ["--json"], ["reset"], ["--reset", "--yes"], ["--reset", "now"]])(
  "npm start refuses what it does not know and touches nothing: %s %s",
  async (...args) => {
    await using data = await dataOfAStart();
    const env = { PORT, SLUICE_DATA_DIR: data.path };
    const { code, stdout, stderr } = await run("tools/start.mjs", { args, env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    const unknown = args.find((each) => each !== "--reset");
    expect(stderr).toMatch(`there is no ${unknown}\n\nnpm start `);
    await access(data.file);
  },
);

test("npm run reset deletes the data of npm start", async () => {
  await using data = await dataOfAStart();
  const env = { SLUICE_DATA_DIR: data.path };
  const { code, stdout } = await run("tools/start.mjs", { args: ["--reset"], env });
  expect(stdout).toContain("is gone");
  expect(code).toBe(0);
  await expect(access(data.file)).rejects.toThrow("ENOENT");
});

async function dataOfAStart() {
  const folder = await temporaryFolder();
  const file = join(folder.path, "logs", "api.log");
  await mkdir(join(folder.path, "logs"));
  await writeFile(file, "");
  return { path: folder.path, file, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}
