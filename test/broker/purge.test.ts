import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { multiset } from "./dead-letters.ts";
import { holdWith, until, untilBlocked, type Held } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

function purge(queue: string): Promise<number> {
  return broker.engine.purge(ACCOUNT, queue);
}

test("a purge deletes what is visible, delayed and in flight, and tells how many", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, numbered(70));
  const held = await client.receive(queue, { maxMessages: 5 });
  const longerThanKept = 400_000;
  await client.send(queue, [
    { body: "later", delay: 600 },
    { body: "much later", delay: longerThanKept },
  ]);
  expect(await purge(queue)).toBe(72);
  expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  expect(await client.acknowledge(queue, held)).toEqual(held.map(() => "receipt_handle_expired"));
  await broker.clock.advance(1_000);
  expect(await client.receive(queue)).toEqual([]);
  expect(await purge(queue)).toBe(0);
});

test("a purge deletes what was sent by a clock that was ahead, and no guard takes it for one of before", async () => {
  const queue = await broker.newQueue({ retention: 1_209_600 });
  expect(await purge(queue)).toBe(0);
  await client.send(queue, ["before", "in flight"]);
  await client.send(queue, [{ body: "much later", delay: 400_000 }]);
  await client.receive(queue, { visibilityTimeout: 5 });
  await broker.clock.advance(-30);
  expect(await purge(queue)).toBe(3);
  await client.send(queue, ["after"]);
  await broker.clock.advance(500_000);
  // Below the place where its claims begin, for they have seen the clock that was ahead.
  expect(bodiesOf(await client.receive(queue, { maxMessages: 10, wait: 20 }))).toEqual(["after"]);
});

test("other queues keep theirs, also of the same publish", async () => {
  await broker.startDispatcher();
  const [queue, other] = [await broker.newQueue(), await broker.newQueue()];
  const topic = await broker.newTopic([queue, other]);
  await client.publish(topic, ["m"]);
  const [first] = await client.receive(queue, { wait: 20 });
  expect(first).toMatchObject({ body: "m" });
  expect(await purge(queue)).toBe(1);
  expect(bodiesOf(await client.receive(other, { wait: 20 }))).toEqual(["m"]);
});

test("what is sent afterwards survives, and wakes whoever waits", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["before"]);
  await purge(queue);
  const waiting = client.receive(queue, { wait: 20 });
  await otherProcess.send(queue, ["after"]);
  expect(bodiesOf(await waiting)).toEqual(["after"]);
});

test.each([false, true])(
  "what is sent while it waits for the purge of another queue survives (FIFO: %s)",
  async (fifo) => {
    const queue = await broker.newQueue({ fifo });
    const message = (body: string) =>
      fifo ? { body, groupId: "g", deduplicationId: body } : { body };
    await client.send(queue, [message("before")]);
    const id = await broker.idOf(queue);
    const other = await holdWith(broker.engine.database.maintenance, "SELECT");
    const purging = purge(queue);
    await until(async () => {
      const [row] = await broker.sql`SELECT FROM queues WHERE id = ${id} AND purged_at IS NOT NULL`;
      return row !== undefined;
    });
    await otherProcess.send(queue, [message("meanwhile")]);
    const longerThanKept = 400_000;
    if (!fifo) await otherProcess.send(queue, [{ body: "much later", delay: longerThanKept }]);
    await other.letGo();
    expect(await purging).toBe(1);
    expect(bodiesOf(await client.drain(queue))).toEqual(["meanwhile"]);
    expect(await broker.counts(queue)).toMatchObject({ delayed: fifo ? 0 : 1 });
  },
);

test("a queue that is not there is refused", async () => {
  await expect(purge("nowhere")).rejects.toMatchObject({ code: "queue_not_found" });
});

describe("while another process claims", () => {
  test.each([
    ["whole slices", 63],
    ["a part of a slice", 5],
  ])("%s, it deletes those as well", async (_, maxMessages) => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(63));
    // Behind it, so that what a claim leaves of the first one stands where the purge has been.
    await client.send(queue, ["last"]);
    const claims = await holdClaimsWithRows();
    const receive = otherProcess.receive(queue, { maxMessages });
    await untilBlocked(broker.sql);
    const purging = purge(queue);
    await untilBlocked(broker.sql, 2);
    await claims.letGo();
    const received = await receive;
    await purging;
    expect(await multiset(broker, [queue])).toEqual([]);
    expect(new Set(await otherProcess.acknowledge(queue, received))).toEqual(
      new Set(["receipt_handle_expired"]),
    );
  });

  test("again and again, nothing of before is left", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 0 });
    for (let call = 0; call < 20; call += 1) await client.send(queue, numbered(63));
    const purged = new AbortController();
    const claimers = [client, otherProcess].map(async (one) => {
      while (!purged.signal.aborted) await one.receive(queue, { maxMessages: 7 });
    });
    const messages = await purge(queue);
    purged.abort();
    await Promise.all(claimers);
    expect(messages).toBe(20 * 63);
    expect(await multiset(broker, [queue])).toEqual([]);
  });
});

/** Stops a claim when it holds the row of a slice: before it writes a whole one, or the part that it has split off. */
async function holdClaimsWithRows(): Promise<Held> {
  await broker.sql.unsafe(`
    CREATE OR REPLACE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN new; END $$;
    CREATE OR REPLACE TRIGGER pass_gate_whole BEFORE UPDATE ON slices FOR EACH ROW
      WHEN (new.lease <> old.lease) EXECUTE FUNCTION pass_gate();
    CREATE OR REPLACE TRIGGER pass_gate_part BEFORE INSERT ON slices FOR EACH ROW
      WHEN (new.receive_count > 0) EXECUTE FUNCTION pass_gate()`);
  return await holdWith(broker.sql, "SELECT pg_advisory_xact_lock(1)");
}
