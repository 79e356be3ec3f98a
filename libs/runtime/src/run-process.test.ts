import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const fixture = fileURLToPath(new URL("run-process.fixture.mjs", import.meta.url));

/** Runs a scenario of the fixture to its end. On each `ready` line of the log it sends the next signal. */
async function run(
  scenario: string,
  signals: Partial<Record<string, NodeJS.Signals>> = {},
  env = {},
) {
  const child = spawn(process.execPath, [fixture, scenario], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stderr = text(child.stderr);
  const exited = once(child, "exit");
  const events: string[] = [];
  const lines: Record<string, unknown>[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const entry = JSON.parse(line) as { event: string };
    lines.push(entry);
    events.push(entry.event);
    const signal = signals[entry.event];
    if (signal !== undefined) child.kill(signal);
  }
  const [code] = (await exited) as [number];
  return { code, events, lines, stderr: await stderr };
}

describe("a process that is told to stop", () => {
  test.each(["SIGTERM", "SIGINT"] as const)("drains on %s and exits 0", async (signal) => {
    const { code, events } = await run("serves", { "fixture.ready": signal });
    expect(events).toEqual([
      "fixture.ready",
      "process.stopping",
      "fixture.drained",
      "process.stopped",
    ]);
    expect(code).toBe(0);
  });

  test("exits 1 when draining takes too long", async () => {
    const signals = { "fixture.ready": "SIGTERM" } as const;
    const { code, events } = await run("drains for ever", signals, { SHUTDOWN_TIMEOUT: "1" });
    expect(events).toEqual(["fixture.ready", "process.stopping", "process.stop-timed-out"]);
    expect(code).toBe(1);
  });

  test("exits at once on the second signal", async () => {
    const { code, events } = await run("drains for ever", {
      "fixture.ready": "SIGTERM",
      "process.stopping": "SIGTERM",
    });
    expect(events).toEqual(["fixture.ready", "process.stopping"]);
    expect(code).toBe(143);
  });

  test("takes the two SIGINTs of one key press for one", async () => {
    const { code, events } = await run("serves", {
      "fixture.ready": "SIGINT",
      "process.stopping": "SIGINT",
    });
    expect(events.at(-1)).toBe("process.stopped");
    expect(code).toBe(0);
  });

  test("exits 0 when it was still waiting to start", async () => {
    const { code, events } = await run("waits at start", { "fixture.ready": "SIGTERM" });
    expect(events).toEqual(["fixture.ready", "process.stopping", "process.stopped"]);
    expect(code).toBe(0);
  });

  test("exits 1 when it cannot drain", async () => {
    const { code, lines } = await run("fails while draining", { "fixture.ready": "SIGTERM" });
    expect(lines.at(-1)).toMatchObject({
      event: "process.stop-failed",
      err: { message: "flush failed" },
    });
    expect(code).toBe(1);
  });
});

// Linux has a file to which nothing can be written for lack of room.
test.skipIf(process.platform !== "linux")(
  "a log that cannot be written ends no process",
  async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, [fixture, "serves without a log"], {
      stdio: ["ignore", full, "pipe"],
    });
    closeSync(full);
    const exited = once(child, "exit");
    const { stderr } = child;
    if (!stderr) throw new Error("no standard error");
    const said = text(stderr);
    await Promise.race([once(stderr, "readable"), exited]);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(await said).toBe("ready\n");
  },
);

describe("a process that cannot go on", () => {
  test("says in one line why it cannot start", async () => {
    const { code, lines, stderr } = await run("fails at start");
    expect(lines).toMatchObject([
      { level: "fatal", event: "process.start-failed", message: "cannot start: no such database" },
    ]);
    expect(stderr).toBe("");
    expect(code).toBe(1);
  });

  test("says in one line on standard error which variable is wrong", async () => {
    const { code, events, stderr } = await run("serves", {}, { LOG_LEVEL: "loud" });
    expect(stderr).toBe(
      'fixture: LOG_LEVEL is wrong, expected debug, info, warn, error, fatal or silent, got "loud"\n',
    );
    expect(events).toEqual([]);
    expect(code).toBe(78);
  });

  test("exits 78 when its start finds that it is configured wrongly", async () => {
    const { code, lines } = await run("finds its configuration wrong");
    expect(lines).toMatchObject([
      {
        event: "process.start-failed",
        message: "cannot start: KEY is not the one of the database",
      },
    ]);
    expect(code).toBe(78);
  });

  test.each([
    ["forgets a rejection", "nobody caught me"],
    ["throws later", "thrown into the void"],
  ])("logs and exits when it %s", async (scenario, message) => {
    const { code, lines } = await run(scenario);
    expect(lines).toMatchObject([{ level: "fatal", event: "process.crashed", err: { message } }]);
    expect(code).toBe(1);
  });

  test("exits 1 also when nothing can be said of the error", async () => {
    const { code } = await run("throws what cannot be told");
    expect(code).toBe(1);
  });
});
