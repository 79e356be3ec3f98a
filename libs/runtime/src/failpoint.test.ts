import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const fixture = fileURLToPath(new URL("failpoint.fixture.mjs", import.meta.url));

/** Runs a process that passes `write.committed` three times and says so each time. */
async function run(env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [fixture], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  const passes = (await stdout).split("passed").length - 1;
  return { code, signal, passes, stderr: await stderr };
}

describe("a failpoint", () => {
  test("does nothing unless it is named", async () => {
    expect(await run({})).toMatchObject({ code: 0, passes: 3 });
    expect(await run({ SLUICE_FAILPOINTS: "write.before-answer" })).toMatchObject({ code: 0 });
  });

  test("kills its process where it is, the first time or a later one", async () => {
    const first = await run({ SLUICE_FAILPOINTS: "write.committed" });
    expect(first).toMatchObject({ signal: "SIGKILL", passes: 0 });
    const third = await run({ SLUICE_FAILPOINTS: "fan-out.committed@9,write.committed@3" });
    expect(third).toMatchObject({ signal: "SIGKILL", passes: 2 });
  });

  test("is refused when there is none of that name", async () => {
    const { code, stderr } = await run({ SLUICE_FAILPOINTS: "write.comitted" });
    expect(code).toBe(78);
    expect(stderr).toContain("SLUICE_FAILPOINTS is wrong, expected write.before-commit, ");
  });

  test("is refused in production", async () => {
    const env = { SLUICE_FAILPOINTS: "write.committed", NODE_ENV: "production" };
    expect(await run(env)).toMatchObject({
      code: 78,
      stderr: "fixture: SLUICE_FAILPOINTS is set, which NODE_ENV=production forbids\n",
    });
  });
});
