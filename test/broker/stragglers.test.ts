import { setImmediate } from "node:timers/promises";

import { connectDatabase, type Database, type Sql } from "@sluice/database";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { holdWith, until } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

describe("what becomes visible below the place where claims begin is seen before long", () => {
  /** A slice that became visible five seconds ago, by a statement that takes its time. */
  const late = async (queue: string) => {
    await client.send(queue, ["late"]);
    return await holdWith(
      broker.sql,
      `UPDATE slices SET visible_at = visible_at - interval '5 seconds' WHERE queue_id = ${BigInt(await broker.idOf(queue))}`,
      "COMMIT",
    );
  };

  test("by a receive that waits", async () => {
    const queue = await broker.newQueue();
    await client.receive(queue);
    const committing = await late(queue);
    const waiting = client.receive(queue, { wait: 20 });
    await committing.letGo();
    const start = performance.now();
    expect(bodiesOf(await waiting)).toEqual(["late"]);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test("by receives that do not wait", async () => {
    const queue = await broker.newQueue();
    await client.receive(queue);
    const committing = await late(queue);
    expect(await client.receive(queue)).toEqual([]);
    await committing.letGo();
    const start = performance.now();
    await until(async () => (await client.receive(queue)).length > 0);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test("by receives that find others all the time", async () => {
    const queue = await broker.newQueue();
    await client.receive(queue);
    const committing = await late(queue);
    await committing.letGo();
    await until(async () => {
      await client.send(queue, ["on time"]);
      return bodiesOf(await client.receive(queue, { maxMessages: 1 })).includes("late");
    });
  });

  test("at once where a queue is no longer paused, or keeps its messages for longer", async () => {
    const queue = await broker.newQueue({ paused: true, retention: 60 });
    await client.send(queue, ["old"]);
    expect(await client.receive(queue)).toEqual([]);
    await broker.clock.advance(61);
    await broker.engine.queues.update(ACCOUNT, queue, { paused: false });
    expect(await client.receive(queue)).toEqual([]);
    await broker.engine.queues.update(ACCOUNT, queue, { retention: 3_600 });
    broker.engine.changed({ kind: "queue", account: ACCOUNT, name: queue });
    expect(bodiesOf(await client.receive(queue))).toEqual(["old"]);
  });
});

describe("while such a look takes its time", () => {
  /** A process on a database of its own that no hint comes to, and whose looks stay under way until they are let go. */
  async function withHeldLooks(own: Broker) {
    const looks = gate();
    const database = connectDatabase({ url: own.databaseUrl, pool: 4, name: "test-engine" });
    await own.startEngine(holdLooks(database, looks));
    return { slow: own.client(1), looks };
  }

  test("a message whose signal was lost is seen as soon as ever", async () => {
    await using own = await Broker.start({ dispatchers: 0, connectBus: loneliness() });
    const { slow, looks } = await withHeldLooks(own);
    const queue = await own.newQueue();
    expect(await slow.receive(queue)).toEqual([]);
    const waiting = slow.receive(queue, { wait: 20 });
    await looks.came;
    await own.client().send(queue, ["m"]);
    expect(bodiesOf(await waiting)).toEqual(["m"]);
    looks.open();
  });

  test("a closing engine waits for it", async () => {
    await using own = await Broker.start({ dispatchers: 0 });
    const { slow, looks } = await withHeldLooks(own);
    const queue = await own.newQueue();
    await slow.receive(queue);
    const waiting = slow.receive(queue, { wait: 20 });
    await looks.came;
    let isClosed = false;
    const closing = slow.engine.close().then(() => (isClosed = true));
    expect(await waiting).toEqual([]);
    for (let turn = 0; turn < 100; turn += 1) await setImmediate();
    expect(isClosed).toBe(false);
    looks.open();
    await closing;
  });
});

interface Gate {
  /** Somebody has come to it. */
  came: Promise<void>;
  /** Comes to it; resolves when it is open. */
  pass: () => Promise<void>;
  open: () => void;
}

function gate(): Gate {
  let come = () => {};
  let open = () => {};
  const came = new Promise<void>((resolve) => (come = resolve));
  const opened = new Promise<void>((resolve) => (open = resolve));
  return {
    came,
    pass() {
      come();
      return opened;
    },
    open,
  };
}

/** The same database, but looks for stragglers pass a gate. */
function holdLooks(database: Database, looks: Gate): Database {
  const sql = new Proxy(database.sql, {
    apply(target, self, args: [TemplateStringsArray, ...unknown[]]) {
      const ask = () => Reflect.apply(target, self, args) as Promise<unknown>;
      // They look no time ahead.
      const isLook = args[0].raw?.join("").includes("waited_for") && args.includes(0);
      return isLook ? looks.pass().then(ask) : ask();
    },
  }) as Sql;
  return { ...database, sql };
}
