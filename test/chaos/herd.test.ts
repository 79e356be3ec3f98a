import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { freePort, startApi, startDispatcher } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import postgres from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { residentBytes } from "./resident-bytes.ts";

/*
 * Thousands of long polls whose API is killed come back to the next one all at once. `TEST_POLLS=5000` has more of them.
 */
const polls = Number(process.env["TEST_POLLS"] ?? 1_000);
const MIB = 1_024 * 1_024;

const database = await createTestDatabase(inject("databaseUrl"));
const settings = {
  databaseUrl: database.url,
  natsUrl: inject("natsUrl"),
  env: { HOST: "127.0.0.1", NATS_PREFIX: `herd-${process.pid}` },
};
const port = await freePort();
const startNext = () => startApi({ ...settings, port });
let api = await startNext();
const dispatcher = await startDispatcher(settings);
const sql = postgres(database.url, { max: 1, onnotice: () => {} });
afterAll(async () => {
  await sql.end();
  await Promise.all([api.stop(), dispatcher.stop()]);
  await database[Symbol.asyncDispose]();
});

async function post(path: string, body: object): Promise<void> {
  const answer = await fetch(api.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(await answer.text()).not.toContain("error");
}

const text = JSON.stringify({ wait: 20 });
const request = `POST /v1/queues/awaited/receive HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`;

/** A client that waits for a message, and comes back at once when it was answered without one. */
class Poll {
  readonly message: Promise<string>;
  /** Resolves when the connection is gone. */
  readonly broken: Promise<unknown>;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.broken = new Promise((resolve) => socket.once("close", resolve));
    this.message = new Promise((resolve) => {
      let answer = "";
      socket.on("data", (chunk: Buffer) => {
        answer += chunk.toString();
        if (answer.includes('"body":')) resolve(answer);
        else if (answer.endsWith('{"messages":[]}')) {
          answer = "";
          socket.write(request);
        }
      });
    });
  }

  static async begin(): Promise<Poll> {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(request);
    return new Poll(socket);
  }

  end(): void {
    this.#socket.destroy();
  }
}

function beginAll(): Promise<Poll[]> {
  return Promise.all(Array.from({ length: polls }, () => Poll.begin()));
}

/** Sends every poll a message of its own, and resolves when each one has one. */
async function wakeAll(all: readonly Poll[]): Promise<void> {
  for (let sent = 0; sent < polls; sent += 500) {
    const messages = Array.from({ length: Math.min(500, polls - sent) }, () => ({ body: "wake" }));
    await post("/v1/topics/calls/messages", { messages });
  }
  await Promise.all(all.map(({ message }) => message));
}

/** The longest of 98 in 100 of a hundred publishes, in ms. */
async function publishTime(): Promise<number> {
  const times: number[] = [];
  for (let count = 0; count < 100; count += 1) {
    const began = performance.now();
    await post("/v1/topics/idle/messages", { messages: [{ body: "m" }] });
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[97] ?? Infinity;
}

async function connections(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'sluice-api%'`;
  return row?.count ?? 0;
}

test(`${polls} long polls come back at once to an API that was killed, and each is served`, async () => {
  for (const name of ["calls", "idle"]) await post("/v1/topics", { name });
  await post("/v1/queues", { name: "awaited" });
  await post("/v1/topics/calls/subscriptions", { queue: "awaited" });
  const first = await beginAll();
  await api.kill("SIGKILL");
  await Promise.all(first.map(({ broken }) => broken));
  // Postgres ends a connection of the dead when it has answered it.
  await expect.poll(connections, { timeout: 30_000 }).toBe(0);
  api = await startNext();
  const before = await residentBytes(api);

  const second = await beginAll();
  const publish = await publishTime();
  const [grown, used] = [(await residentBytes(api)) - before, await connections()];
  await wakeAll(second);
  for (const poll of second) poll.end();

  // As many as a process has without anybody.
  expect(used).toBeLessThanOrEqual(14);
  expect(grown).toBeLessThan(128 * MIB + polls * 64 * 1_024);
  expect(publish).toBeLessThan(1_000);
}, 120_000);
