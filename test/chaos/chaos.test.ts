import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Disk, type ChaosReport } from "@sluice/chaos";
import { temporaryFolder } from "@sluice/stack";
import { expect, test } from "vitest";

const script = fileURLToPath(new URL("../../tools/chaos/dist/main.js", import.meta.url));

/** What a developer may have set for `npm start`. */
const settings = { HOST: "0.0.0.0", AUTH: "on", SECRETS_KEY: "5".repeat(64), LOG_LEVEL: "silent" };

/** `npm run chaos`, on a Postgres and a NATS of its own. */
async function chaos(...args: string[]) {
  const child = spawn(process.execPath, [script, ...args], {
    env: { PATH: process.env["PATH"], ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: await stdout, stderr: await stderr };
}

/** One of each sort; `npm run chaos` has them all, and takes its time. */
const nemeses = [
  "kill-api",
  "kill-dispatcher",
  "kill-postgres",
  "kill-backend",
  "wipe-nats",
  "stop-dispatcher",
  "stop-postgres",
  "terminate-backends",
  "reset-clients",
  "tear-api-postgres",
  "swallow-api-postgres",
  "swallow-clients",
  "jump-clock",
  "crash-at-write.committed",
  "crash-at-fan-out.committed",
];

test("no promise is broken while processes, connections and the database die", async () => {
  const args = ["--seconds", "40", "--seed", "20261124", "--longest", "2", "--no-fsync", "--json"];
  const { code, stdout, stderr } = await chaos(...args, "--nemeses", nemeses.join(","));
  // With the seed and each fault, so that whoever finds this red can do it again.
  if (code !== 0) throw new Error(`exit code ${code}\n${stderr}`);
  const report = JSON.parse(stdout) as ChaosReport;
  expect(report.anomalies).toEqual([]);
  expect(Object.keys(report.faults).length).toBeGreaterThan(2);
  expect(report.messages.acknowledged).toBeGreaterThan(100);
  expect(report.messages.deliveries).toBeGreaterThan(report.messages.acknowledged);
}, 300_000);

await using somewhere = await temporaryFolder();
const noDisk = await Disk.whyNot(somewhere.path);

// Whoever is not root cannot have such a disk; the name says so.
test.skipIf(noDisk !== undefined)(
  `no promise is broken while Postgres' machine loses its power, and its disk is full or stands still${noDisk === undefined ? "" : ` (${noDisk})`}`,
  async () => {
    const args = ["--seconds", "20", "--seed", "20261129", "--longest", "2", "--json"];
    const { code, stdout, stderr } = await chaos(
      ...args,
      "--nemeses",
      "cut-power,fill-disk,stall-disk",
    );
    if (code !== 0) throw new Error(`exit code ${code}\n${stderr}`);
    const report = JSON.parse(stdout) as ChaosReport;
    expect(report.anomalies).toEqual([]);
    expect(report.faults["cut-power"]?.strikes).toBeGreaterThan(0);
    expect(report.messages.acknowledged).toBeGreaterThan(100);
  },
  300_000,
);

test("a run whose check dies says so, keeps the histories and tells how to check them again", async () => {
  await using folder = await temporaryFolder();
  const histories = join(folder.path, "histories");
  await mkdir(histories);
  await writeFile(join(histories, "torn-1.jsonl"), '{"type":"ok","call":1,"at":1}\n');
  const again = `npm run chaos -- --check ${histories} checks them again.`;
  const run = ["--seconds", "1", "--nemeses", "none", "--no-fsync", "--keep", histories];
  const { code, stdout, stderr } = await chaos(...run);
  expect(code).toBe(1);
  expect(stderr).toContain("torn-1: call 1 ends without a beginning");
  expect(stdout).toContain("The check of the histories died (exit code 1)");
  expect(stdout).toContain(again);
  expect(await readdir(histories)).toContain("publisher-3.jsonl");

  await rm(join(histories, "torn-1.jsonl"));
  expect(await chaos("--check", histories)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("✓ 0 anomalies") as string,
  });
}, 120_000);

test("refuses a command line that it cannot follow", async () => {
  const refused = await chaos("--nemeses", "kill-everything");
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  expect(refused.stderr).toContain('there is no nemesis "kill-everything"; there are kill-api, ');
});
