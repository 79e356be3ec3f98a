import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { createTestDatabase } from "@sluice/stack/testing";
import postgres from "postgres";
import { afterAll, afterEach, beforeEach, describe, expect, inject, test, vi } from "vitest";

import { connectDatabase, type Sql } from "./connect.ts";
import { classifyFailure } from "./failure.ts";
import { SharedConnection, type Outcome } from "./shared-connection.ts";
import { statement } from "./statement.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
const database = connectDatabase({ url: testDatabase.url, pool: 1 });
const { sql, shared } = database;
await sql`CREATE TABLE numbers (number int PRIMARY KEY)`;
beforeEach(() => sql`TRUNCATE numbers`);
afterEach(() => void vi.useRealTimers());
afterAll(async () => {
  await database.close();
  await testDatabase[Symbol.asyncDispose]();
});

interface Row {
  number: number;
  transaction?: string;
}

/** @param size - How much is sent with it, in bytes. */
const insert = (on: Sql, number: number, size = 0) =>
  statement(
    on<Row[]>`
      INSERT INTO numbers SELECT ${number}::int WHERE length(${"x".repeat(size)}) >= 0
      RETURNING number, pg_current_xact_id()::text AS transaction`,
    (rows) => [...rows],
  );
const list = (on: Sql) =>
  statement(on<Row[]>`SELECT number FROM numbers ORDER BY 1`, (rows) => [...rows]);
/** Not the same text twice, so it is new to its connection. */
let drawn = 0;
const newStatement = (on: Sql, number: number) =>
  statement(
    on.unsafe<Row[]>(`INSERT INTO numbers VALUES ($1) /* ${(drawn += 1)} */`, [number]),
    (rows) => [...rows],
  );

function isUnavailable(outcome: Outcome<unknown>): void {
  expect(classifyFailure((outcome as { error: unknown }).error)).toBe("unavailable");
}

function unknownOutcome(outcome: Outcome<unknown>): unknown {
  expect(outcome).toMatchObject({ isUndone: false });
  isUnavailable(outcome);
  return (outcome as { error: unknown }).error;
}

test.each([0, 100_000])(
  "each statement sees what those before it did, and all are one transaction, also of %i bytes, and when they are new to the connection",
  async (size) => {
    for (let round = 0; round < 3; round += 1) {
      const outcome = await shared.inOneCommit((on) => [
        insert(on, 2 * round, size),
        list(on),
        insert(on, 2 * round + 1),
      ]);
      const { results } = outcome as { results: Row[][] };
      expect(results[1]!.map(({ number }) => number)).toEqual(
        Array.from({ length: 2 * round + 1 }, (_, number) => number),
      );
      expect(results[0]![0]!.transaction).toBe(results[2]![0]!.transaction);
      // On another connection: they are committed.
      expect(await list(sql).send()).toHaveLength(2 * round + 2);
    }
  },
);

test("one statement needs no transaction", async () => {
  const outcome = await shared.inOneCommit((on) => [insert(on, 1)]);
  expect(outcome).toMatchObject({ results: [[{ number: 1 }]] });
  expect(await list(sql).send()).toHaveLength(1);
});

test.each([0, 1, 2])(
  "when statement %i fails none has done anything, and it is told which",
  async (place) => {
    await insert(sql, 7).send();
    const outcome = await shared.inOneCommit((on) =>
      [1, 2, 3].map((number) => insert(on, number === place + 1 ? 7 : number)),
    );
    expect(outcome).toMatchObject({ failed: place, error: { code: "23505" }, isUndone: true });
    expect(await list(sql).send()).toEqual([{ number: 7 }]);
    expect(await shared.inOneCommit((on) => [insert(on, 1), insert(on, 2)])).toHaveProperty(
      "results",
    );
  },
);

test("a connection that is lost in the middle takes all of it with it, also what was still to be sent", async () => {
  await shared.inOneCommit((on) => [insert(on, 1), insert(on, 2)]);
  const end = (on: Sql) =>
    statement(on<Row[]>`SELECT 0 AS number FROM pg_terminate_backend(pg_backend_pid())`, (rows) => [
      ...rows,
    ]);
  unknownOutcome(
    await shared.inOneCommit((on) => [
      insert(on, 3),
      end(on),
      newStatement(on, 4),
      newStatement(on, 5),
    ]),
  );
  expect(await list(sql).send()).toEqual([{ number: 1 }, { number: 2 }]);
});

test("statements that the connection does not know any more do nothing, however many rounds are under way, and then it is replaced", async () => {
  await shared.inOneCommit((on) => [insert(on, 1), list(on)]);
  await shared.inOneCommit((on) => [statement(on.unsafe("DEALLOCATE ALL"), () => [])]);
  const outcomes = await Promise.all([
    shared.inOneCommit((on) => [insert(on, 2), list(on)]),
    shared.inOneCommit((on) => [insert(on, 3), list(on)]),
    shared.inOneCommit((on) => [insert(on, 4)]),
    shared.inOneCommit((on) => [insert(on, 5)]),
  ]);
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ error: { code: "CONNECTION_CLOSED" }, isUndone: true });
  }
  expect(await list(sql).send()).toEqual([{ number: 1 }]);
  expect(await shared.inOneCommit((on) => [insert(on, 6)])).toHaveProperty("results");
});

describe("of those that it does not know any more", () => {
  const one = (on: Sql, number: number) =>
    statement(on<Row[]>`SELECT ${number}::int AS number`, (rows) => [...rows]);
  const seven = (on: Sql) =>
    statement(on<Row[]>`SELECT 7 + ${0}::int AS number`, (rows) => [...rows]);

  beforeEach(async () => {
    await shared.inOneCommit((on) => [one(on, 1), seven(on)]);
    await shared.inOneCommit((on) => [
      statement(
        on.unsafe(
          `DO $$ DECLARE known text; BEGIN SELECT name INTO known FROM pg_prepared_statements WHERE statement LIKE 'SELECT 7%';
           EXECUTE format('DEALLOCATE %I', known); END $$`,
        ),
        () => [],
      ),
    ]);
  });

  test("the others have their own answers", async () => {
    const [outdated, known] = await Promise.all([
      shared.inOneCommit((on) => [seven(on)]),
      shared.inOneCommit((on) => [one(on, 44)]),
    ]);
    expect(outdated).toMatchObject({ isUndone: true });
    expect(known).toEqual({ results: [[{ number: 44 }]] });
  });

  test("one that is sent after a new one is sent once as well", async () => {
    const [outdated, known] = await Promise.all([
      shared.inOneCommit((on) => [newStatement(on, 8), seven(on), one(on, 43)]),
      shared.inOneCommit((on) => [one(on, 44)]),
    ]);
    expect(outdated).toMatchObject({ failed: 1, isUndone: true });
    expect(known).toEqual({ results: [[{ number: 44 }]] });
  });
});

test("any number of statements share a commit", async () => {
  const outcome = await shared.inOneCommit((on) =>
    Array.from({ length: 500 }, (_, number) => insert(on, number)),
  );
  const { results } = outcome as { results: Row[][] };
  expect(new Set(results.map(([row]) => row!.transaction)).size).toBe(1);
});

test("a connection that is lost while nothing is under way is replaced", async () => {
  const pid = async () => {
    const outcome = await shared.inOneCommit((on) => [
      statement(on<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`, (rows) => rows[0]!.pid),
    ]);
    return "results" in outcome ? outcome.results[0]! : undefined;
  };
  const before = await pid();
  await sql`SELECT pg_terminate_backend(${before!}, 5000)`;
  await expect.poll(pid).not.toBeOneOf([before, undefined]);
});

test("rounds that begin at once share the connection", async () => {
  await using fresh = connectDatabase({ url: testDatabase.url, pool: 1 });
  const insertTwo = (from: number) =>
    fresh.shared.inOneCommit((on) => [insert(on, from), insert(on, from + 1)]);
  const outcomes = await Promise.all([insertTwo(0), insertTwo(10), insertTwo(20)]);
  for (const outcome of outcomes) expect(outcome).toHaveProperty("results");
});

test("what is not connected yet when it is closed fails", async () => {
  const answers: Outcome<Row[]>[] = [];
  for (const ms of [0, 1, 2, 3, 5, 8]) {
    const closing = connectDatabase({ url: testDatabase.url, pool: 1 });
    const asked = closing.shared.inOneCommit((on) => [insert(on, 2 * ms), list(on)]);
    await delay(ms);
    await closing.close();
    answers.push(await asked);
  }
  expect(answers.some((answer) => "error" in answer)).toBe(true);
});

test("a connection whose answers the driver has lost count of is given up", async () => {
  const options = { max: 1, fetch_types: false, max_pipeline: 100 };
  const counted = new SharedConnection((onclose) =>
    postgres(testDatabase.url, { ...options, onclose }),
  );
  const unsendable = (on: Sql) =>
    statement(on<Row[]>`SELECT ${undefined as never}::int`, (rows) => [...rows]);
  // Statements that the connection knows are sent at once.
  await counted.inOneCommit((on) => [insert(on, 5), insert(on, 6)]);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const asked = counted.inOneCommit((on) => [insert(on, 1), unsendable(on), insert(on, 2)]);
  await vi.advanceTimersByTimeAsync(30_000);
  vi.useRealTimers();
  unknownOutcome(await asked);
  expect(await counted.inOneCommit((on) => [insert(on, 3), insert(on, 4)])).toHaveProperty(
    "results",
  );
  await counted.close();
});

test("where it cannot be had, nothing was done", async () => {
  await using door = await openDoor();
  door.shut();
  await using behind = connectDatabase({ url: door.url, pool: 1 });
  const outcome = await behind.shared.inOneCommit((on) => [insert(on, 1), insert(on, 2)]);
  expect(outcome).toMatchObject({ isUndone: true });
  isUnavailable(outcome);
});

test("closing does not wait for a connection that nobody uses", async () => {
  const closing = connectDatabase({ url: testDatabase.url, pool: 1 });
  await closing.shared.inOneCommit((on) => [insert(on, 1), insert(on, 2)]);
  // What it would wait for ends after a second, which does not pass.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  await closing.close();
});

test("while Postgres cannot be reached nothing is done, and afterwards all of it or nothing", async () => {
  await using door = await openDoor();
  await using behind = connectDatabase({ url: door.url, pool: 1 });
  const { shared: there } = behind;
  let next = 0;
  const attempt = async () => {
    const numbers = [(next += 1), (next += 1), (next += 1)];
    const outcome = await there.inOneCommit((on) => [
      insert(on, numbers[0]!, 50_000),
      newStatement(on, numbers[1]!),
      insert(on, numbers[2]!),
    ]);
    const stored = (await list(sql).send()).filter(({ number }) => numbers.includes(number));
    expect(stored).toHaveLength("results" in outcome ? 3 : 0);
    return "results" in outcome;
  };
  expect(await attempt()).toBe(true);
  for (const shutMs of [1, 40, 90, 160, 300]) {
    door.shut();
    setTimeout(door.open, shutMs);
    expect(await attempt()).toBe(false);
    while (!(await attempt())) continue;
  }
});

test("whoever goes on at once after a loss is there when Postgres is", async () => {
  await using door = await openDoor();
  await using behind = connectDatabase({ url: door.url, pool: 1 });
  let next = 0;
  const attempt = async (make: typeof insert) => {
    const outcome = await behind.shared.inOneCommit((on) =>
      [0, 1, 2].map(() => make(on, (next += 1))),
    );
    if ("error" in outcome) isUnavailable(outcome);
    return "results" in outcome;
  };
  const goOnUntilLost = async () => {
    while (await attempt(insert)) continue;
  };
  for (let outage = 0; outage < 20; outage += 1) {
    const lost = goOnUntilLost();
    await delay(10 + outage);
    door.shut();
    setTimeout(door.open, 5);
    await lost;
    while (!(await attempt(newStatement))) continue;
  }
});

/** A way to Postgres that can be shut: whoever is in it is thrown out, whoever comes is turned away. */
async function openDoor() {
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server = createServer((client) => {
    client.on("error", () => {});
    if (!isOpen) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(new URL(testDatabase.url).port), "127.0.0.1");
    upstream.on("error", () => {});
    sockets.add(client);
    client.pipe(upstream).pipe(client);
    client.on("close", () => {
      sockets.delete(client);
      upstream.destroy();
    });
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(testDatabase.url);
  url.port = String((server.address() as AddressInfo).port);
  const shut = () => {
    isOpen = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    shut,
    open: () => {
      isOpen = true;
    },
    async [Symbol.asyncDispose]() {
      shut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
