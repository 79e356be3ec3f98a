import { setImmediate } from "node:timers/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, afterEach, expect, inject, test, vi } from "vitest";
import { connectDatabase } from "./connect.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
afterAll(() => testDatabase[Symbol.asyncDispose]());
afterEach(() => void vi.useRealTimers());

/** How an answer ends: ReadyForQuery, without what it says of the transaction. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5]);

const FIELDS = "SFATAL\0VFATAL\0C57P01\0Mterminating connection: closed\0\0";
/** What Postgres says when its postmaster has died. */
const FAREWELL = Buffer.from(`E\0\0\0${String.fromCharCode(4 + FIELDS.length)}${FIELDS}`);

/** A way to Postgres all of whose connections can be broken. */
async function breakableWay() {
  const sockets = new Set<Socket>();
  let cutAfter: number | undefined;
  let farewell = Buffer.alloc(0);
  /** Of the answers that tell of an error, the end is lost with the connection. */
  const pass = (chunk: Buffer, to: Socket) => {
    if (cutAfter === undefined || !chunk.includes("ERROR")) return to.write(chunk);
    const ready = chunk.lastIndexOf(READY);
    const left = ready < 0 ? chunk : chunk.subarray(0, ready + cutAfter);
    return to.end(Buffer.concat([left, farewell]));
  };
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(testDatabase.url).port), "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        if (from === client) to.write(chunk);
        else pass(chunk, to);
      });
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.resetAndDestroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(testDatabase.url);
  url.port = String((server.address() as AddressInfo).port);
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const end = () => {
    for (const socket of sockets) socket.end();
  };
  return {
    url: url.href,
    reset,
    /** Closes them in good order, as a server that shuts down does. */
    end,
    letThrough: () => (cutAfter = undefined),
    /** From now on connections end with an error, or so many bytes later, and before the answer does. */
    cutErrors: (bytes: number, last = Buffer.alloc(0)) => {
      cutAfter = bytes;
      farewell = last;
    },
    async [Symbol.asyncDispose]() {
      reset();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** From now on it is the test that says how long a connection is silent. */
function holdClockOfSilence() {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
}

async function endIsKnown() {
  for (let turn = 0; turn < 4; turn += 1) await setImmediate();
}

/** The driver writes what is small in an immediate. */
const isSent = endIsKnown;

test("every query settles however often connections break under it, and all connections are used again", async () => {
  await using way = await breakableWay();
  const database = connectDatabase({ url: way.url, pool: 4 });
  const { sql } = database;
  let broken = 0;
  const enough = new AbortController();
  const ask = async () => {
    // As group commit does: the next one at once, whatever became of the last.
    for (let count = 0; !enough.signal.aborted; count += 1) {
      await sql`SELECT ${"x".repeat(count % 3_000)}::text AS text`.catch(() => (broken += 1));
    }
  };
  const loops = Array.from({ length: 12 }, ask);
  for (let round = 0; round < 40; round += 1) {
    await sql`SELECT pg_sleep(0.02)`.catch(() => {});
    way.reset();
  }
  enough.abort();
  await Promise.all(loops);
  expect(broken).toBeGreaterThan(0);

  // Each connection has to serve one; one that is just closing may fail it once more.
  await vi.waitFor(async () => {
    const held = Array.from(
      { length: 4 },
      () => sql`SELECT pg_sleep(0.2), pg_backend_pid() AS pid`,
    );
    const pids = (await Promise.all(held)).map(([row]) => row?.["pid"] as number);
    expect(new Set(pids).size).toBe(4);
  });
  await database.close();
});

test.each(["reset", "end"] as const)(
  "a transaction whose connection is lost (%s) fails, and nothing is written to what is gone",
  async (way) => {
    await using path = await breakableWay();
    const database = connectDatabase({ url: path.url, pool: 2 });
    const { sql } = database;
    let failed = 0;
    for (let round = 0; round < 30; round += 1) {
      const transactions = Array.from({ length: 4 }, (_, index) =>
        sql
          .begin(async (tx) => {
            await tx`SELECT ${index}::int`;
            await Promise.all([tx`SELECT pg_sleep(0.01)`, tx`SELECT ${"x".repeat(2_000)}::text`]);
            await tx`SELECT 1`;
          })
          .catch(() => (failed += 1)),
      );
      await new Promise((resolve) => setTimeout(resolve, round % 12));
      path[way]();
      await Promise.all(transactions);
    }
    expect(failed).toBeGreaterThan(0);
    expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    await database.close();
  },
);

test("a connection whose answer does not come is given up, and each query on it fails", async () => {
  holdClockOfSilence();
  await using way = await breakableWay();
  await using other = connectDatabase({ url: testDatabase.url, pool: 1 });
  await other.sql`SELECT pg_advisory_lock(1)`;
  const database = connectDatabase({ url: way.url, pool: 1, silenceMs: 800 });
  const { sql } = database;
  await sql`SELECT 1`;
  // The first is answered, so something was heard since the others were asked.
  const first = sql`SELECT 1`.execute();
  const lost = Promise.allSettled([sql`SELECT pg_advisory_lock(1)`, sql`SELECT 2`]);
  await first;
  vi.advanceTimersByTime(1_000);
  const refused = { status: "rejected", reason: { code: "CONNECTION_CLOSED" } };
  expect(await lost).toMatchObject([refused, refused]);
  await endIsKnown();
  expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  await database.close();
});

test("a connection that is idle, or works for less than the limit, is kept", async () => {
  holdClockOfSilence();
  const database = connectDatabase({ url: testDatabase.url, pool: 1, silenceMs: 400 });
  const pid = async () =>
    (await database.sql`SELECT pg_sleep(0.1), pg_backend_pid() AS pid`)[0]?.["pid"] as number;
  const before = await pid();
  vi.advanceTimersByTime(1_000);
  const working = pid();
  await isSent();
  vi.advanceTimersByTime(375);
  expect(await working).toBe(before);
  await database.close();
});

test("what Postgres says as it ends a connection is told to whoever asked, and not to whoever asks next", async () => {
  await using database = connectDatabase({ url: testDatabase.url, pool: 1 });
  const { sql } = database;
  await sql`SELECT 1`;
  const ended = sql`SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10)`;
  await expect(ended).rejects.toThrow("terminating connection due to administrator command");
  // What is asked before the end of the connection is known fails with it.
  await endIsKnown();
  expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }]);
});

test.each([
  [0, "nothing more is said", undefined],
  [0, "Postgres says why", FAREWELL],
  [1, "nothing more is said", undefined],
  [3, "nothing more is said", undefined],
  [5, "nothing more is said", undefined],
])(
  "an error whose connection is lost after %i bytes of the end of its answer, and %s, is told to nobody else",
  async (bytes, _, farewell) => {
    await using way = await breakableWay();
    await using database = connectDatabase({ url: way.url, pool: 1 });
    const { sql } = database;
    const next = async () => {
      way.letThrough();
      // What is asked before the end of the connection is known fails with it.
      await endIsKnown();
      expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }]);
      way.cutErrors(bytes, farewell);
    };
    await next();
    await expect(sql`SELECT 1 / 0`).rejects.toThrow(/division by zero|closed/i);
    await next();
    await expect(sql`SELECT ${1}::int / 0`).rejects.toThrow(/division by zero|closed/i);
    await next();
    // It is refused as it is parsed, before there is anything to run.
    await expect(sql`SELECT ${1}::int + nonsense`).rejects.toThrow(/does not exist|closed/i);
    await next();
    const transaction = sql.begin(async (tx) => {
      await tx`SELECT 1`;
      await Promise.all([tx`SELECT 1 / 0`, tx`SELECT 2`]);
    });
    await expect(transaction).rejects.toThrow(/division by zero|closed/i);
    await next();
    await expect(sql.begin((tx) => tx`SELECT 1 / 0`)).rejects.toThrow(/division by zero|closed/i);
    await next();
  },
);
