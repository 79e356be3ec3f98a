import { createTestDatabase } from "@sluice/stack/testing";
import { describe, expect, inject, test } from "vitest";
import { run } from "./run.ts";

const noDatabase = "DATABASE_URL is not set, expected postgres://user:password@host:port/database";
const noNats =
  "NATS_URL is not set, expected nats://host:port or tls://host:port, several separated by commas";

describe.concurrent("a process refuses to start in an environment that does not fit", () => {
  test.each([
    ["api", `api: ${noDatabase}; ${noNats}\n`],
    ["dispatcher", `dispatcher: ${noDatabase}; ${noNats}\n`],
    ["standalone", `standalone: ${noDatabase}\n`],
  ])("%s: one line names every variable that is missing", async (name, line) => {
    const refused = await run(`apps/${name}/dist/main.js`);
    expect(refused).toEqual({ code: 78, stdout: "", stderr: line });
  });

  test("one line tells what was expected and what came", async () => {
    const env = { DATABASE_URL: "mysql://me:secret@db/sluice", NATS_URL: "nats://n", PORT: "http" };
    const { code, stderr } = await run("apps/api/dist/main.js", { env });
    expect(stderr).toBe(
      "api: DATABASE_URL is wrong, expected postgres://user:password@host:port/database, " +
        "got mysql://*** (27 characters); " +
        'PORT is wrong, expected a whole number, 0 to 65535, got "http"\n',
    );
    expect(code).toBe(78);
  });

  test("a typo in a name is guessed", async () => {
    const env = { DATABSE_URL: "postgres://db", NATS_URL: "nats://n" };
    const { stderr } = await run("apps/dispatcher/dist/main.js", { env });
    expect(stderr).toContain("(DATABSE_URL is set: did you mean DATABASE_URL?)\n");
  });

  test("a port that is taken is said in one line of the log", async () => {
    await using database = await createTestDatabase(inject("databaseUrl"));
    const env = { DATABASE_URL: database.url, PORT: new URL(database.url).port };
    const { code, stdout, stderr } = await run("apps/standalone/dist/main.js", { env });
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({
      level: "fatal",
      event: "process.start-failed",
      message: expect.stringContaining("EADDRINUSE") as string,
    });
    expect(stderr).toBe("");
    expect(code).toBe(1);
  });

  test("another SECRETS_KEY than that of the access keys is refused, and makes no key", async () => {
    await using database = await createTestDatabase(inject("databaseUrl"));
    const environment = (secretsKey: string) => ({
      env: { DATABASE_URL: database.url, SECRETS_KEY: secretsKey, AUTH: "on", PORT: "0" },
    });
    const accessKey = async (command: string[], secretsKey: string) =>
      await run("apps/api/dist/access-key.js", { args: command, ...environment(secretsKey) });
    const [first, second] = ["11".repeat(32), "22".repeat(32)];
    const created = await accessKey(["create"], first);
    const [, id] = /AWS_ACCESS_KEY_ID=(\w+)/.exec(created.stdout) ?? [];
    const message =
      "SECRETS_KEY opens none of the access keys in the database, expected the one that they were made with";
    const { code, stdout } = await run("apps/standalone/dist/main.js", environment(second));
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({
      event: "process.start-failed",
      message: `cannot start: ${message}`,
    });
    expect(code).toBe(78);
    const refused = await accessKey(["create"], second);
    expect(refused).toEqual({ code: 78, stdout: "", stderr: `${message}\n` });
    // Whoever lost it can begin anew.
    expect((await accessKey(["disable", id ?? ""], second)).stdout).toBe("disabled\n");
    expect(await accessKey(["create"], second)).toMatchObject({ code: 0 });
  });
});
