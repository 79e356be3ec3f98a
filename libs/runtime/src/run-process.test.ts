import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** Standard output of a child that nobody reads yet, and what can read it. */
function unread(kind: "pipe" | "socket") {
  if (kind === "socket") return { stdout: "pipe" as const };
  const folder = mkdtempSync(join(tmpdir(), "sluice-log-"));
  const path = join(folder, "log");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stdout = openSync(path, "w");
  rmSync(folder, { recursive: true });
  return { stdout, reader: new Socket({ fd: reader, writable: false }) };
}

// Node's own pipes are sockets; those of a shell are not.
describe.skipIf(process.platform === "win32").each(["pipe", "socket"] as const)(
  "a log whose reader stands still (%s)",
  (kind) => {
    async function start() {
      const { stdout, reader } = unread(kind);
      const child = spawn(process.execPath, [fixture, "logs more than anybody takes"], {
        stdio: ["ignore", stdout, "pipe"],
      });
      if (typeof stdout === "number") closeSync(stdout);
      const log = reader ?? child.stdout;
      const { stderr } = child;
      if (!log || !stderr) throw new Error("no output");
      const exited = once(child, "exit");
      // It has written all that it has to.
      await Promise.race([once(stderr, "data"), exited]);
      return { child, log, exited };
    }

    test("stops no process", async () => {
      const { child, log, exited } = await start();
      child.kill("SIGTERM");
      expect(await exited).toEqual([0, null]);
      log.destroy();
    });

    test("tells how many lines were lost when it goes on, and loses none that comes then", async () => {
      const { child, log, exited } = await start();
      const lines: { event: string; n?: number; lines?: number }[] = [];
      for await (const line of createInterface({ input: log })) {
        const entry = JSON.parse(line) as { event: string };
        lines.push(entry);
        if (entry.event === "log.lines-lost") child.kill("SIGTERM");
      }
      expect(await exited).toEqual([0, null]);
      const written = lines.filter(({ event }) => event === "fixture.line").map(({ n }) => n);
      expect(written).toEqual(written.map((_, index) => index));
      expect(lines.slice(written.length)).toMatchObject([
        { event: "log.lines-lost", level: "warn", lines: 3_000 - written.length },
        { event: "process.stopping" },
        { event: "process.stopped" },
      ]);
    });

    test("stops no process when it is gone", async () => {
      const { child, log, exited } = await start();
      log.destroy();
      await once(log, "close");
      child.kill("SIGTERM");
      expect(await exited).toEqual([0, null]);
    });
  },
);

test("errors that one line is to stand for are told of at the end", async () => {
  const { lines } = await run("fails again and again", { "fixture.ready": "SIGTERM" });
  const failures = lines.filter(({ event }) => event === "fixture.failed");
  expect(failures).toHaveLength(6);
  expect(failures.at(-1)).toMatchObject({ repeated: 45, err: { message: "failure 49" } });
  expect(lines.at(-2)).toMatchObject({ event: "process.stopped" });
});

test.each([
  ["fits", {}, { code: 0, stderr: "" }],
  ["does not fit", { LOG_LEVEL: "loud" }, { code: 78, stderr: expect.stringMatching("LOG_LEVEL") }],
])("--check says whether the environment fits, and starts nothing: it %s", async (_, env, told) => {
  const child = spawn(process.execPath, [fixture, "serves", "--check"], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  expect({ code, stderr }).toEqual(told);
  expect(stdout).toBe("");
});

test.each([
  ["--help", { code: 0, stdout: expect.stringMatching("--check"), stderr: "" }],
  [
    "--chek",
    { code: 2, stdout: "", stderr: expect.stringMatching(/^fixture: there is no --chek\n/) },
  ],
])("starts nothing with %s, and says what there is", async (argument, told) => {
  const child = spawn(process.execPath, [fixture, "serves", argument], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stderr = text(child.stderr);
  const lines = createInterface({ input: child.stdout });
  let stdout = "";
  for await (const line of lines) {
    stdout += `${line}\n`;
    if (line.includes("fixture.ready")) child.kill("SIGTERM");
  }
  expect({
    code: child.exitCode ?? (await once(child, "exit"))[0],
    stdout,
    stderr: await stderr,
  }).toEqual(told);
});

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
