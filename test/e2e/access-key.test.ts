import { createTestDatabase, type TestDatabase } from "@sluice/stack/testing";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { run } from "./run.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase(inject("databaseUrl"));
});
afterAll(() => database[Symbol.asyncDispose]());

const SECRETS_KEY = "33".repeat(32);

function accessKey(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return run("apps/api/dist/access-key.js", { args, env: { DATABASE_URL: database.url, ...env } });
}

async function createKey(env: NodeJS.ProcessEnv = {}) {
  const { stdout } = await accessKey(["create", "--json"], { SECRETS_KEY, ...env });
  return JSON.parse(stdout) as { id: string; secret: string; account: string };
}

// Each of them starts processes, on a machine that may have others to run.
// By node, as what is installed without the tools of development has no compiler for `npm run access-key`.
describe("the command of access keys", () => {
  test("tells how it is used", async () => {
    const told = await run("apps/api/dist/access-key.js", { args: ["--help"] });
    expect(told).toMatchObject({ code: 0, stderr: "" });
    expect(told.stdout).toMatch(/^node apps\/api\/dist\/access-key\.js /);
    for (const line of told.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  test.each([
    [[], "what is to be done?"],
    [["destroy"], "there is no destroy"],
    [["create", "now"], "create takes nothing more, got now"],
    [["list", "extra", "words"], "list takes nothing more, got extra words"],
    [["list", "--all"], "Unknown option '--all'"],
    [["disable"], "disable expects the id of one key, got nothing"],
    [["disable", "a", "b"], "disable expects the id of one key, got a b"],
    [["disable", "a", "--json"], "disable has no --json"],
  ])("refuses %j and shows its usage", async (args, complaint) => {
    const { code, stdout, stderr } = await accessKey(args, { SECRETS_KEY });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(complaint);
    expect(stderr).toContain("\n\nnode apps/api/dist/access-key.js ");
  });

  test("fails when there is no such key in use, and says so on stderr", async () => {
    const failed = { code: 1, stdout: "", stderr: "no key NOPE is in use\n" };
    expect(await accessKey(["disable", "NOPE"])).toEqual(failed);
    const { id } = await createKey();
    const done = { code: 0, stdout: "disabled\n", stderr: "" };
    expect(await accessKey(["disable", id])).toEqual(done);
    expect(await accessKey(["disable", id])).toEqual({
      ...failed,
      stderr: `no key ${id} is in use\n`,
    });
  });

  test("says which setting led to a Postgres that is not there", async () => {
    const { code, stderr } = await accessKey(["list"], {
      DATABASE_URL: "postgres://127.0.0.1:1/sluice",
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Postgres at DATABASE_URL: .*ECONNREFUSED.*\n$/);
  });

  test("needs SECRETS_KEY for a new key only", async () => {
    const stderr = "SECRETS_KEY is not set, expected 64 hex digits (openssl rand -hex 32)\n";
    expect(await accessKey(["create"])).toEqual({ code: 78, stdout: "", stderr });
    expect(await accessKey(["list"])).toMatchObject({ code: 0, stderr: "" });
  });

  test("lists as JSON what it has made, without secrets", async () => {
    await using empty = await createTestDatabase(inject("databaseUrl"));
    const env = { DATABASE_URL: empty.url };
    expect(await accessKey(["list", "--json"], env)).toMatchObject({ code: 0, stdout: "[]\n" });
    expect(await accessKey(["list"], env)).toMatchObject({ code: 0, stdout: "" });
    const created = await createKey({ ...env, SLUICE_ACCOUNT: "000000000007" });
    expect(created).toEqual({
      id: expect.stringMatching(/^SLUICE\w{14}$/),
      secret: expect.any(String),
      account: "000000000007",
    });
    const { id, account } = created;
    const { stdout } = await accessKey(["list", "--json"], env);
    expect(JSON.parse(stdout)).toEqual([
      { id, account, createdAt: expect.any(String), disabledAt: null },
    ]);
    expect((await accessKey(["list"], env)).stdout).toBe(`${id}  ${account}  in use\n`);
  });
});
