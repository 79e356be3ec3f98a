import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder, type TemporaryFolder } from "../temporary-folder.ts";
import { runsOn } from "./running.ts";
import { startProcess } from "./service.ts";

const READY = `console.log('{"event":"api.listening","url":"http://127.0.0.1:1/"}');`;
const STAY = "setInterval(() => {}, 1000);";

test("a process is handed over once it says where it listens, and stops on SIGTERM", async () => {
  await using folder = await temporaryFolder();
  const script = await program(folder, `console.log("warming up"); ${READY} ${STAY}`);
  const lines: string[] = [];
  await using process = await startProcess({
    name: "worker",
    script,
    onLine: (line) => lines.push(line),
  });
  expect(process.url).toBe("http://127.0.0.1:1/");
  expect(process.running).toBe(true);
  expect(await process.stop()).toEqual({ code: null, signal: "SIGTERM" });
  expect(process.running).toBe(false);
  expect(lines[0]).toBe("warming up");
});

test("its environment is ours, with what was given on top, and it can lose a variable", async () => {
  await using folder = await temporaryFolder();
  const script = await program(
    folder,
    `const { EXTRA, HOME, PATH } = process.env;
     console.log("seen " + [EXTRA, HOME, typeof PATH].join(" ")); ${STAY}`,
  );
  await using process = await startProcess({
    name: "worker",
    script,
    env: { EXTRA: "more", HOME: undefined },
    ready: (line) => (line.startsWith("seen ") ? line : undefined),
  });
  expect(process.url).toBe("seen more  string");
});

test.skipIf(spawnSync("chrt", ["--batch", "0", "true"]).status !== 0)(
  "a process is scheduled as batch work where Linux can be told so",
  async () => {
    await using folder = await temporaryFolder();
    await using process = await startProcess({
      name: "worker",
      script: await program(folder, `${READY} ${STAY}`),
    });
    const ours = await policyOf("self");
    // Whoever runs all of this by another policy means that one.
    expect(await policyOf(process.pid)).toBe(ours === "0" ? "3" : ours);
  },
);

async function policyOf(pid: number | "self"): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // Field 41, counted from the end of the name, which may have spaces.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38];
}

test("a process has as long to end as it was given, and is killed then", async () => {
  await using folder = await temporaryFolder();
  const script = await program(folder, `process.on("SIGTERM", () => {}); ${READY} ${STAY}`);
  await using process = await startProcess({ name: "worker", script, graceMs: 200 });
  const started = performance.now();
  expect(await process.stop()).toEqual({ code: null, signal: "SIGKILL" });
  // Without being given any it has fifteen seconds.
  expect(performance.now() - started).toBeLessThan(14_000);
});

test("a process that ends before it is ready is an error with its last words", async () => {
  await using folder = await temporaryFolder();
  const script = await program(folder, "console.error('no such luck'); process.exitCode = 3;");
  await expect(startProcess({ name: "worker", script })).rejects.toMatchObject({
    code: "child_failed",
    message: "worker ended before it was ready (exit code 3).",
    output: ["no such luck"],
  });
});

test("a process that never gets ready is an error", async () => {
  await using folder = await temporaryFolder();
  const script = await program(folder, STAY);
  const start = startProcess({ name: "worker", script, readyTimeoutMs: 50 });
  await expect(start).rejects.toThrow("worker was not ready after 0.05 s.");
});

test("a start can be given up, and leaves nothing behind", async () => {
  await using folder = await temporaryFolder();
  const script = await program(folder, `console.log(process.pid); ${STAY}`);
  const giveUp = new AbortController();
  let pid = 0;
  const start = startProcess({
    name: "worker",
    script,
    signal: giveUp.signal,
    onLine: (line) => {
      pid = Number(line);
      giveUp.abort(new Error("enough"));
    },
  });
  await expect(start).rejects.toThrow("enough");
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
});

test("what is left running ends with us, whatever ends us", async ({ skip }) => {
  skip(process.platform !== "linux", "needs the parent-death signal of Linux");
  await using folder = await temporaryFolder();
  const child = await program(folder, `${READY} ${STAY}`, "child.mjs");
  const service = new URL("./service.ts", import.meta.url).pathname
    .replace("/src/", "/dist/")
    .replace(".ts", ".js");
  const parent = await program(
    folder,
    `import { startProcess } from ${JSON.stringify(service)};
     const child = await startProcess({ name: "child", script: ${JSON.stringify(child)} });
     console.log("child " + child.pid);`,
    "parent.mjs",
  );
  const middle = await startProcess({
    name: "parent",
    script: parent,
    ready: (line) => /^child (\d+)$/.exec(line)?.[1],
  });
  const pid = Number(middle.url);
  await middle.kill("SIGKILL");
  await expect.poll(() => runsOn(pid, child), { timeout: 15_000 }).toBe(false);
});

async function program(
  folder: TemporaryFolder,
  source: string,
  name = "main.mjs",
): Promise<string> {
  const path = join(folder.path, name);
  await writeFile(path, source);
  return path;
}
