import type { DemoResult } from "@sluice/demo";
import { afterAll, describe, expect, test } from "vitest";
import { Client } from "./http.ts";
import { install } from "./installation.ts";
import { run } from "./run.ts";

/** Longer than the demo itself waits for what is missing, so that it can tell what that is. */
const patience = { timeout: 120_000 };

/** What a developer may have set for `npm start`. */
const settings = { HOST: "0.0.0.0", AUTH: "on", SECRETS_KEY: "5".repeat(64), LOG_LEVEL: "silent" };

/** `npm run demo`, on its own Postgres and NATS; fails with what it wrote unless it ends well. */
async function demo(...args: string[]): Promise<DemoResult> {
  const { code, stdout, stderr } = await run("tools/demo/dist/main.js", {
    args: [...args, "--json"],
    env: settings,
  });
  if (code !== 0) throw new Error(`The demo ended with exit code ${code}:\n${stderr}\n${stdout}`);
  return JSON.parse(stdout) as DemoResult;
}

/** What of a result has to be the same every time, whatever happened on the way. */
function outcomeOf({ ok, problems, published, queues }: DemoResult) {
  const { messages, bytes, eventTypes, sha256 } = published;
  const same = Object.values(queues).every(
    (queue) => queue.sha256 === sha256 && queue.bytes === bytes && queue.distinct === messages,
  );
  const left = Object.values(queues).map((queue) => queue.left);
  const types = Object.keys(eventTypes).length;
  return { ok, problems, messages, bytes, types, same, left };
}

function allOf(rounds: number): ReturnType<typeof outcomeOf> {
  const empty = expect.objectContaining({ visible: 0, inFlight: 0, delayed: 0 }) as never;
  const [messages, bytes] = [329 * rounds, 3_252_799 * rounds];
  const left = [empty, empty, empty];
  return { ok: true, problems: [], messages, bytes, types: 58, same: true, left };
}

/** What was killed while there was more to publish, and what was started again. */
function incidentsIn({ incidents, published }: DemoResult): string[] {
  return incidents
    .filter(({ what, atMessage }) => what.endsWith("started") || atMessage < published.messages)
    .map(({ what }) => what);
}

describe("the demo", () => {
  test("passes with two APIs and two dispatchers", patience, async () => {
    const result = await demo();
    expect(outcomeOf(result)).toEqual(allOf(1));
    expect(result.queues.audit.redelivered).toBe(0);
    // One in twenty first attempts fails by chance: that none does is one in twenty million.
    expect(result.queues.slow.redelivered).toBeGreaterThan(0);
  });

  test("passes when its only dispatcher is killed on the way", patience, async () => {
    const args = ["--dispatchers", "1", "--rounds", "4", "--rate", "0"];
    const result = await demo(...args, "--kill-dispatcher");
    expect(outcomeOf(result)).toEqual(allOf(4));
    expect(incidentsIn(result)).toEqual(["dispatcher killed", "dispatcher started"]);
  });

  test("passes when nats-server is killed on the way", patience, async () => {
    const result = await demo("--rounds", "4", "--rate", "0", "--kill-nats");
    expect(outcomeOf(result)).toEqual(allOf(4));
    expect(incidentsIn(result)).toEqual(["NATS killed", "NATS started"]);
  });

  test("refuses a command line that it cannot follow", async () => {
    const refused = await run("tools/demo/dist/main.js", { args: ["--round", "3"] });
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain("Unknown option '--round'");
  });
});

describe("the demo on a Sluice that is there already", async () => {
  const installation = await install();
  afterAll(() => installation[Symbol.asyncDispose]());
  const { url } = installation.apis[0]!;

  test("leaves nothing behind", patience, async () => {
    expect(outcomeOf(await demo("--url", url, "--rate", "0"))).toEqual(allOf(1));
    const client = new Client(url);
    expect(await client.expect("GET", "/v1/topics")).toEqual({ topics: [] });
    expect(await client.expect("GET", "/v1/queues")).toEqual({ queues: [] });
  });
});
