import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import connect from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cleanup } from "../process/cleanup.ts";
import { freePort } from "../process/free-port.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { checkDatabase } from "./database.ts";
import { runningPostgres, startPostgres, type PostgresServer } from "./postgres.ts";

test(
  "what was committed survives a stop, a kill -9 and the start after each, on the same address",
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const first = await startPostgres({ dataDir: folder.path });
    expect(await query(first.url, SAFETY)).toEqual([
      { fsync: "on", commit: "on", pages: "on", superuser: "off" },
    ]);
    await query(first.url, "CREATE TABLE kept (step text)");
    await query(first.url, "INSERT INTO kept VALUES ('before stop')");
    expect(await first.stop()).toEqual({ code: 0, signal: null });

    const second = await startPostgres({ dataDir: folder.path });
    expect(second.url).toBe(first.url);
    await query(second.url, "INSERT INTO kept VALUES ('before kill')");
    expect(await second.kill()).toEqual({ code: null, signal: "SIGKILL" });

    await using third = await startPostgres({ dataDir: folder.path });
    expect(await query(third.url, "SELECT step FROM kept")).toEqual([
      { step: "before stop" },
      { step: "before kill" },
    ]);
  },
);

test.each([
  ["missing", (file: string) => rm(file)],
  ["empty", (file: string) => writeFile(file, "")],
])(
  "a password that is %s is told, and no other one made",
  { timeout: 120_000 },
  async (_, lose) => {
    await using folder = await temporaryFolder();
    const options = { dataDir: folder.path, durable: false };
    const first = await startPostgres(options);
    await first.stop();
    const file = join(first.folder, "password");
    const password = await readFile(file, "utf8");
    await lose(file);
    await expect(startPostgres(options)).rejects.toMatchObject({
      code: "password_lost",
      message: expect.stringContaining(file),
      hint: expect.stringContaining("npm run reset"),
    });
    await writeFile(file, password, { mode: 0o600 });
    await using again = await startPostgres(options);
    expect(await query(again.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  },
);

test("a folder with nothing but what systems put into any is taken, as one that a reset has left is", async () => {
  await using folder = await temporaryFolder();
  const home = join(folder.path, "postgres");
  await mkdir(join(home, "lost+found"), { recursive: true });
  await writeFile(join(home, ".DS_Store"), "");
  await using postgres = await startPostgres({ dataDir: folder.path, durable: false });
  expect(postgres.folder).toBe(home);
});

test("a folder of its name that is somebody else's is refused, and left as it is", async () => {
  await using folder = await temporaryFolder();
  const others = join(folder.path, "postgres");
  await mkdir(others);
  await writeFile(join(others, "PG_VERSION"), "18\n");
  const before = await stat(others);
  await expect(startPostgres({ dataDir: folder.path, durable: false })).rejects.toMatchObject({
    code: "data_folder_denied",
    message: expect.stringContaining("PG_VERSION"),
    hint: expect.stringContaining("SLUICE_DATA_DIR"),
  });
  expect(await readdir(others)).toEqual(["PG_VERSION"]);
  const { uid, mode } = await stat(others);
  expect({ uid, mode }).toEqual({ uid: before.uid, mode: before.mode });
});

describe("beside a Postgres that runs", { timeout: 120_000 }, () => {
  const cleanup = new Cleanup();
  let dataDir: string;
  let running: PostgresServer;

  beforeAll(async () => {
    dataDir = cleanup.use(await temporaryFolder()).path;
    running = cleanup.use(await startPostgres({ dataDir, durable: false }));
  });
  afterAll(() => cleanup.run());

  test("a second one on the same data is refused, with the pid of the first", async () => {
    expect(await runningPostgres(dataDir)).toBe(running.pid);
    await expect(startPostgres({ dataDir })).rejects.toMatchObject({
      code: "already_running",
      message: expect.stringContaining(`pid ${running.pid}`),
      hint: expect.stringContaining(`kill -INT ${running.pid}`),
    });
  });

  test("a port that it holds is an error when it is required, and is passed over when it is remembered", async () => {
    await using folder = await temporaryFolder();
    const options = { dataDir: folder.path, durable: false };
    await expect(startPostgres({ ...options, port: running.port })).rejects.toMatchObject({
      code: "port_taken",
    });
    await writeFile(join(folder.path, "postgres", "port"), `${running.port}\n`);
    await using moved = await startPostgres(options);
    expect(moved.port).not.toBe(running.port);
  });

  test("a pid file left by a dead one whose number is its own by now does not stop a start", async () => {
    await using folder = await temporaryFolder();
    const dead = await startPostgres({ dataDir: folder.path, durable: false });
    await dead.kill();
    // The case in which Postgres by itself would refuse to start: a live process of the same user has the number.
    const pidFile = join(dead.folder, "cluster", "postmaster.pid");
    const left = await readFile(pidFile, "utf8");
    await writeFile(pidFile, left.replace(/^\d+/, String(running.pid)));
    await using next = await startPostgres({ dataDir: folder.path, durable: false });
    expect(await runningPostgres(folder.path)).toBe(next.pid);
    expect(running.running).toBe(true);
  });

  test("a wrong password is refused", async () => {
    const url = running.url.replace(/:[0-9a-f]+@/, ":guess@");
    await expect(query(url, "SELECT 1")).rejects.toMatchObject({ code: "28P01" });
  });

  test("its address is accepted as DATABASE_URL", async () => {
    expect(await checkDatabase(running.url)).toBe(running.version);
  });
});

test.each(["nobody there", "no address"])(
  "a DATABASE_URL that is no use is explained: %s",
  async (kind) => {
    const url =
      kind === "no address" ? "nonsense" : `postgres://127.0.0.1:${await freePort()}/sluice`;
    await expect(checkDatabase(url)).rejects.toMatchObject({
      code: "database_unusable",
      hint: expect.stringContaining("postgres://user:password@host:port/database"),
    });
  },
);

const SAFETY = `
  SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
         current_setting('full_page_writes') AS pages, current_setting('is_superuser') AS superuser`;

async function query(url: string, text: string): Promise<object[]> {
  const sql = connect(url, { max: 1, onnotice: () => {} });
  try {
    return [...(await sql.unsafe(text))];
  } finally {
    await sql.end();
  }
}
