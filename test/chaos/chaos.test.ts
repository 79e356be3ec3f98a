import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { ChaosReport } from "@sluice/chaos";
import { expect, test } from "vitest";

const script = fileURLToPath(new URL("../../tools/chaos/dist/main.js", import.meta.url));

/** `npm run chaos`, on a Postgres and a NATS of its own. */
async function chaos(...args: string[]) {
  const child = spawn(process.execPath, [script, ...args], {
    env: { PATH: process.env["PATH"] },
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

test("refuses a command line that it cannot follow", async () => {
  const refused = await chaos("--nemeses", "kill-everything");
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  expect(refused.stderr).toContain('there is no nemesis "kill-everything"; there are kill-api, ');
});
