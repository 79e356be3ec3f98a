import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, inject, test } from "vitest";
import { createTestDatabase } from "../postgres/database.ts";
import { startStandalone } from "../process/apps.ts";
import { welcome } from "./welcome.ts";

const up = {
  url: "http://127.0.0.1:45660",
  seconds: 12.34,
  data: ".sluice/data (npm run reset clears it)",
  logs: ".sluice/data/logs",
  postgres: { port: 45661, folder: ".sluice/data/postgres" },
};

test.each([false, true])(
  "every line to copy fits a terminal of 80 columns (needs key: %s)",
  (needsKey) => {
    for (const line of welcome({ ...up, needsKey }).split("\n"))
      expect(line.length).toBeLessThanOrEqual(80);
  },
);

const quickStart = fileURLToPath(
  new URL("../../../../examples/dist/quick-start.js", import.meta.url),
);

test(
  "the first message arrives, and is in the way of no program of the README",
  { timeout: 120_000 },
  async () => {
    await using database = await createTestDatabase(inject("databaseUrl"));
    await using sluice = await startStandalone({ databaseUrl: database.url });
    const lines = [...welcome({ ...up, needsKey: false }).matchAll(/^ {2}post (\S+) '(.+)'$/gm)];
    const posts = lines.map(([, path = "", body = ""]) => async () => {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${sluice.url}/v1/${path}`, { method: "POST", headers, body });
      return { status: answer.status, answer: await answer.json() };
    });
    const receive = posts.pop();
    for (const post of posts) expect((await post()).status).toBeLessThan(300);

    const env = { ...process.env, SLUICE_URL: sluice.url };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [quickStart], { env });
    expect({ stdout, stderr }).toEqual({ stdout: "bill 12.5 for order o-1\n", stderr: "" });
    expect(await receive?.()).toMatchObject({
      status: 200,
      answer: { messages: [{ body: "hello" }] },
    });
  },
);
