import { access, mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { startProcess } from "@sluice/stack";
import { createTestDatabase, temporaryFolder } from "@sluice/stack/testing";
import { expect, inject, test } from "vitest";
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

test("npm run reset leaves what is somebody else's, also in folders of the names that it deletes", async () => {
  await using data = await dataOfAStart();
  const others = ["postgres/18/docker/PG_VERSION", "nats/nats.conf", "logs/mine.log", "notes"];
  for (const name of others) {
    await mkdir(dirname(join(data.path, name)), { recursive: true });
    await writeFile(join(data.path, name), "");
  }
  const ours = [
    "postgres/cluster/PG_VERSION",
    "postgres/password",
    "nats/jetstream/a",
    "nats/port",
  ];
  for (const name of ours) {
    await mkdir(dirname(join(data.path, name)), { recursive: true });
    await writeFile(join(data.path, name), "");
  }
  const env = { SLUICE_DATA_DIR: data.path };
  expect(await run("tools/start.mjs", { args: ["--reset"], env })).toMatchObject({ code: 0 });
  for (const name of others) await access(join(data.path, name));
  for (const name of [...ours, data.file])
    await expect(access(resolve(data.path, name))).rejects.toThrow("ENOENT");
});

test("npm run reset leaves the streams of a nats-server that no start has made", async () => {
  await using folder = await temporaryFolder();
  const streams = join(folder.path, "nats", "jetstream");
  await mkdir(streams, { recursive: true });
  const env = { SLUICE_DATA_DIR: folder.path };
  expect(await run("tools/start.mjs", { args: ["--reset"], env })).toMatchObject({ code: 0 });
  await access(streams);
});

test("npm start tells what is wrong in the environment before it starts anything", async () => {
  await using folder = await temporaryFolder();
  const env = { AUTH: "maybe", DATABASE_POOL: "many", SLUICE_DATA_DIR: folder.path };
  const { code, stdout } = await run("tools/start.mjs", { env });
  expect(code).toBe(1);
  expect(stdout).toContain('AUTH is wrong, expected on, off or auto, got "maybe"');
  expect(stdout).toContain("DATABASE_POOL is wrong");
  expect(await readdir(folder.path)).toEqual([]);
});

test("npm start says in two lines that its folder cannot be made, and what to do", async () => {
  await using data = await dataOfAStart();
  const { code, stdout } = await run("tools/start.mjs", { env: { SLUICE_DATA_DIR: data.file } });
  expect(code).toBe(1);
  expect(stdout).toContain(data.file);
  expect(stdout).toContain("SLUICE_DATA_DIR sets another");
  expect(stdout).not.toContain("    at ");
});

test(
  "a second npm start on a folder, or a reset, says who has it, and leaves it alone",
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    await using database = await createTestDatabase(inject("databaseUrl"));
    const env = {
      SLUICE_DATA_DIR: folder.path,
      DATABASE_URL: database.url,
      NATS_URL: inject("natsUrl"),
      NATS_PREFIX: database.name,
      PORT: "0",
      HEALTH_PORT: "0",
    };
    const script = "tools/start.mjs";
    await using first = await startProcess({
      name: "start",
      script,
      env,
      ready: (line) => / API {2,}(\S+)/.exec(line)?.[1],
    });
    for (const args of [[], ["--reset"]]) {
      const { code, stdout } = await run(script, { args, env });
      expect(code).toBe(1);
      expect(stdout).toContain(`(pid ${first.pid})`);
    }
    await access(join(folder.path, "logs", "api.log"));
    expect((await fetch(`${first.url}/readyz`)).status).toBe(200);
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    expect(await run(script, { args: ["--reset"], env })).toMatchObject({ code: 0 });
  },
);

test(
  "what clients of npm start are sent leads to the port that it has, and a folder of one's own is told of",
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const env = { SLUICE_DATA_DIR: folder.path, PORT: "0", HEALTH_PORT: "0" };
    const said: string[] = [];
    await using sluice = await startProcess({
      name: "start",
      script: "tools/start.mjs",
      env: { ...env, NATS_URL: inject("natsUrl"), NATS_PREFIX: basename(folder.path) },
      onLine: (line) => said.push(line),
      ready: (line) => / API {2,}(\S+)/.exec(line)?.[1],
    });
    const notification = await firstNotification(sluice.url);
    expect(notification.UnsubscribeURL.slice(0, sluice.url.length + 1)).toBe(`${sluice.url}/`);
    expect((await fetch(notification.SigningCertURL)).status).toBe(200);
    expect(said.find((line) => line.startsWith("  Data "))).toContain(
      "npm run reset with the same SLUICE_DATA_DIR",
    );
  },
);

interface Notification {
  readonly SigningCertURL: string;
  readonly UnsubscribeURL: string;
}

/** Of a new topic, as its queue has it without raw delivery. */
async function firstNotification(url: string): Promise<Notification> {
  const post = async (path: string, body: unknown) => {
    const headers = { "content-type": "application/json" };
    const call = { method: "POST", headers, body: JSON.stringify(body) };
    return (await fetch(`${url}/v1/${path}`, call)).json() as Promise<unknown>;
  };
  await post("topics", { name: "news" });
  await post("queues", { name: "inbox" });
  await post("topics/news/subscriptions", { queue: "inbox", rawDelivery: false });
  await post("topics/news/messages", { messages: [{ body: "hello" }] });
  const received = (await post("queues/inbox/receive", { wait: 20 })) as {
    messages: { body: string }[];
  };
  return JSON.parse(received.messages[0]?.body ?? "{}") as Notification;
}

async function dataOfAStart() {
  const folder = await temporaryFolder();
  const file = join(folder.path, "logs", "api.log");
  await mkdir(join(folder.path, "logs"));
  await writeFile(file, "");
  return { path: folder.path, file, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}
