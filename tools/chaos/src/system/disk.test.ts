import { execFile } from "node:child_process";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { startPostgres, temporaryFolder } from "@sluice/stack";
import postgres from "postgres";
import { describe, expect, test } from "vitest";
import { Disk } from "./disk.ts";

async function write(file: string, text: string, { flush }: { flush: boolean }): Promise<void> {
  const handle = await open(file, "w");
  await handle.writeFile(text);
  if (flush) await handle.sync();
  await handle.close();
}

await using somewhere = await temporaryFolder();
const why = await Disk.whyNot(somewhere.path);

// Where it cannot be had, as for whoever is not root, the name says why.
describe.skipIf(why !== undefined)(
  `a disk of its own${why === undefined ? "" : ` (${why})`}`,
  () => {
    test("has what was flushed before its power is lost, and nothing of the rest", async () => {
      await using folder = await temporaryFolder();
      await using disk = await Disk.create(folder.path);
      const flushed = join(disk.path, "flushed");
      const other = join(disk.path, "other");
      // It writes its journal every five seconds otherwise.
      await promisify(execFile)("mount", ["-o", "remount,commit=600", disk.path]);
      await write(flushed, "first", { flush: true });
      await write(other, "first", { flush: true });
      await write(other, "second", { flush: false });
      await disk.losePower();
      await expect(writeFile(flushed, "late")).rejects.toMatchObject({ code: "EROFS" });
      await disk.comeBack();
      expect(await readFile(flushed, "utf8")).toBe("first");
      expect(await readFile(other, "utf8")).not.toBe("second");
      await write(flushed, "third", { flush: true });
    });

    test("is full until it is emptied", async () => {
      await using folder = await temporaryFolder();
      await using disk = await Disk.create(folder.path);
      const file = join(disk.path, "file");
      await disk.fill();
      await expect(writeFile(file, "x".repeat(10_000))).rejects.toMatchObject({ code: "ENOSPC" });
      await disk.empty();
      await writeFile(file, "x".repeat(10_000));
    });

    test("has whoever writes wait while it stands still", async () => {
      await using folder = await temporaryFolder();
      await using disk = await Disk.create(folder.path);
      await disk.standStill();
      let done = false;
      const written = writeFile(join(disk.path, "file"), "x").then(() => (done = true));
      await sleep(100);
      expect(done).toBe(false);
      await disk.goOn();
      await written;
    });

    test(
      "a Postgres whose power is cut as soon as it is there for the first time has what it committed",
      { timeout: 120_000 },
      async () => {
        expect(await afterPowerCut({ fsync: "on" })).toEqual(["first", "second"]);
      },
    );

    test("a Postgres that does not flush has not", { timeout: 120_000 }, async () => {
      expect(await afterPowerCut({ fsync: "off" })).toEqual(["first"]);
    });
  },
);

/** What a Postgres has of two commits, before the second of which it is told whether to flush. */
async function afterPowerCut({ fsync }: { fsync: "on" | "off" }): Promise<string[]> {
  await using folder = await temporaryFolder();
  await using disk = await Disk.create(folder.path);
  await using first = await startPostgres({ dataDir: disk.path });
  const writing = postgres(first.adminUrl, { max: 1 });
  await writing`CREATE TABLE commits AS SELECT 'first' AS name`;
  await writing.unsafe(`ALTER SYSTEM SET fsync = ${fsync}`);
  await writing`SELECT pg_reload_conf()`;
  // The setting is that of the session after its next statement.
  const inForce = async () => (await writing`SHOW fsync`)[0]?.["fsync"] === fsync;
  while (!(await inForce())) await sleep(10);
  await writing`INSERT INTO commits VALUES ('second')`;
  await disk.losePower();
  await first.kill();
  await writing.end({ timeout: 1 });
  await disk.comeBack();
  await using second = await startPostgres({ dataDir: disk.path });
  const reading = postgres(second.adminUrl, { max: 1 });
  const rows = await reading<{ name: string }[]>`SELECT name FROM commits`;
  await reading.end();
  return rows.map(({ name }) => name);
}
