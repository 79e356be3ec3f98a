import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, beforeEach, expect, inject, test } from "vitest";

import { connectDatabase, type Sql } from "./connect.ts";
import { classifyFailure } from "./failure.ts";
import { inOneCommit, statement, type Outcome } from "./one-commit.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
const database = connectDatabase({ url: testDatabase.url, pool: 1 });
const { sql, impatient } = database;
await sql`CREATE TABLE numbers (number int PRIMARY KEY)`;
beforeEach(() => sql`TRUNCATE numbers`);
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

function unknownOutcome(outcome: Outcome<unknown>): unknown {
  expect(outcome).toMatchObject({ isUndone: false });
  const { error } = outcome as { error: unknown };
  expect(classifyFailure(error)).toBe("unavailable");
  return error;
}

test.each([0, 100_000])(
  "each statement sees what those before it did, and all are one transaction, also of %i bytes, and when they are new to the connection",
  async (size) => {
    for (let round = 0; round < 3; round += 1) {
      const outcome = await inOneCommit(impatient, [
        insert(impatient, 2 * round, size),
        list(impatient),
        insert(impatient, 2 * round + 1),
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
  const outcome = await inOneCommit(impatient, [insert(impatient, 1)]);
  expect(outcome).toMatchObject({ results: [[{ number: 1 }]] });
  expect(await list(sql).send()).toHaveLength(1);
});

test.each([0, 1, 2])(
  "when statement %i fails none has done anything, and it is told which",
  async (place) => {
    await insert(sql, 7).send();
    const statements = [1, 2, 3].map((number) =>
      insert(impatient, number === place + 1 ? 7 : number),
    );
    const outcome = await inOneCommit(impatient, statements);
    expect(outcome).toMatchObject({ failed: place, error: { code: "23505" }, isUndone: true });
    expect(await list(sql).send()).toEqual([{ number: 7 }]);
    expect(
      await inOneCommit(impatient, [insert(impatient, 1), insert(impatient, 2)]),
    ).toHaveProperty("results");
  },
);

test("a connection that is lost in the middle takes all of it with it, also what was still to be sent", async () => {
  await inOneCommit(impatient, [insert(impatient, 1), insert(impatient, 2)]);
  const ending = statement(
    impatient<Row[]>`SELECT 0 AS number FROM pg_terminate_backend(pg_backend_pid())`,
    (rows) => [...rows],
  );
  unknownOutcome(
    await inOneCommit(impatient, [
      insert(impatient, 3),
      ending,
      newStatement(impatient, 4),
      newStatement(impatient, 5),
    ]),
  );
  expect(await list(sql).send()).toEqual([{ number: 1 }, { number: 2 }]);
});

test("a statement that the driver sends once more, after the commit, is not taken for a part of it", async () => {
  await inOneCommit(impatient, [insert(impatient, 1), list(impatient)]);
  await impatient.unsafe("DEALLOCATE ALL");
  const outcome = await inOneCommit(impatient, [insert(impatient, 2), list(impatient)]);
  expect(unknownOutcome(outcome)).toMatchObject({
    message: expect.stringContaining("did not run in one transaction") as string,
  });
});

test("the driver never ends a connection by itself: it would, in the middle of a transaction", () => {
  expect(impatient.options.max_lifetime).toBeNull();
});

test("while Postgres cannot be reached nothing is done, and afterwards all of it or nothing", async () => {
  await using door = await openDoor();
  await using behind = connectDatabase({ url: door.url, pool: 1 });
  const { impatient: there } = behind;
  let next = 0;
  const attempt = async () => {
    const numbers = [(next += 1), (next += 1), (next += 1)];
    const outcome = await inOneCommit(there, [
      insert(there, numbers[0]!, 50_000),
      newStatement(there, numbers[1]!),
      insert(there, numbers[2]!),
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
