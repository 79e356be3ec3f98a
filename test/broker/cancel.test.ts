import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdSlices, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

async function cancel(queue: string, messageId: string, by = client): Promise<string> {
  try {
    await by.engine.cancelDelayed(ACCOUNT, queue, messageId);
    return "ok";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** A queue whose messages m0, m1, … are delayed by a minute, and their ids. */
async function delayed(count: number) {
  const queue = await broker.newQueue({ delay: 60 });
  const ids = await client.send(queue, numbered(count));
  return { queue, ids };
}

describe("a delayed message is taken back", () => {
  test("alone, out of a batch, by any process", async () => {
    const { queue, ids } = await delayed(5);
    expect(await cancel(queue, ids[1]!)).toBe("ok");
    expect(await cancel(queue, ids[3]!, otherProcess)).toBe("ok");
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 3 });
    await broker.clock.advance(60);
    expect(await client.finish(queue)).toEqual(["m0", "m2", "m4"]);
  });

  test("once", async () => {
    const { queue, ids } = await delayed(2);
    expect(await cancel(queue, ids[0]!)).toBe("ok");
    expect(await cancel(queue, ids[0]!)).toBe("message_not_found");
    expect(await cancel(queue, ids[1]!)).toBe("ok");
    expect(await cancel(queue, ids[1]!)).toBe("message_not_found");
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  });

  test("by its own delay, while others of the same call are visible", async () => {
    const queue = await broker.newQueue();
    const [now, later] = await client.send(queue, ["now", { body: "later", delay: 600 }]);
    expect(await cancel(queue, now!)).toBe("message_not_found");
    expect(await cancel(queue, later!)).toBe("ok");
    await broker.clock.advance(600);
    expect(await client.finish(queue)).toEqual(["now"]);
  });

  test("after a fan-out into a queue with a delay, in that queue only", async () => {
    const [late, soon] = [await broker.newQueue({ delay: 60 }), await broker.newQueue()];
    const topic = await broker.newTopic([late, soon]);
    const ids = await client.publish(topic, ["a", "b"]);
    expect(bodiesOf(await client.receive(soon, { wait: 20, maxMessages: 10 }))).toEqual(["a", "b"]);
    expect(await cancel(soon, ids[0]!)).toBe("message_not_found");
    expect(await cancel(late, ids[0]!)).toBe("ok");
    await broker.clock.advance(60);
    expect(await client.finish(late)).toEqual(["b"]);
  });

  test("by all who cancel different ones of a batch in the same instant", async () => {
    const { queue, ids } = await delayed(4);
    const outcomes = await Promise.all(
      ids.map((id, index) => cancel(queue, id, index % 2 ? client : otherProcess)),
    );
    expect(outcomes).toEqual(["ok", "ok", "ok", "ok"]);
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  });

  test("by all of many who do so, however often others are before them", async () => {
    const { queue, ids } = await delayed(40);
    // As a commit on a slow disk does it, each keeps the row for a while.
    await broker.sql.unsafe(`
      CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_sleep(0.04); RETURN coalesce(new, old); END $$;
      CREATE TRIGGER wait BEFORE UPDATE OR DELETE ON slices FOR EACH ROW EXECUTE FUNCTION wait()`);
    const outcomes = await Promise.all(
      ids.map((id, index) => cancel(queue, id, index % 2 ? client : otherProcess)),
    );
    await broker.sql`DROP TRIGGER wait ON slices`;
    expect(outcomes).toEqual(ids.map(() => "ok"));
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  });

  test("by one of those who cancel it in the same instant", async () => {
    const { queue, ids } = await delayed(2);
    const outcomes = await Promise.all(
      [client, otherProcess, client, otherProcess].map((by) => cancel(queue, ids[0]!, by)),
    );
    expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(1);
    expect(await broker.counts(queue)).toMatchObject({ delayed: 1 });
  });
});

test("those that wait for locks leave connections to receives of other queues", async () => {
  const { queue, ids } = await delayed(10);
  const free = await broker.newQueue();
  await client.send(free, ["m"]);
  const slices = await holdSlices(broker.sql, await broker.idOf(queue));
  const outcomes = ids.map((id) => cancel(queue, id));
  await untilBlocked(broker.sql, 2);
  expect(bodiesOf(await client.receive(free))).toEqual(["m"]);
  await slices.letGo();
  expect(await Promise.all(outcomes)).toEqual(ids.map(() => "ok"));
});

describe("nothing is found and nothing changes", () => {
  test("once it is visible, in flight or acknowledged", async () => {
    const { queue, ids } = await delayed(1);
    await broker.clock.advance(60);
    expect(await cancel(queue, ids[0]!)).toBe("message_not_found");
    const held = await client.receive(queue);
    expect(await cancel(queue, ids[0]!)).toBe("message_not_found");
    await client.hide(queue, held, 600);
    expect(await cancel(queue, ids[0]!)).toBe("message_not_found");
    expect(await client.acknowledge(queue, held)).toEqual(["ok"]);
    expect(await cancel(queue, ids[0]!)).toBe("message_not_found");
  });

  test("with an id that was altered", async () => {
    const { queue, ids } = await delayed(3);
    const id = ids[1]!;
    const altered = [
      ...Array.from({ length: id.length }, (_, index) => index)
        .filter((index) => id[index] !== "-")
        .map((index) => id.slice(0, index) + (id[index] === "1" ? "2" : "1") + id.slice(index + 1)),
      id.toUpperCase(),
      `${id} `,
      "",
      "00000000-0000-7000-8000-000000000001",
      "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ].filter((one) => !ids.includes(one));
    for (const one of altered) {
      const outcome = await cancel(queue, one);
      expect([one, outcome]).toEqual([one, "message_not_found"]);
    }
    expect(await broker.counts(queue)).toMatchObject({ delayed: 3 });
  });

  test("with an id of another queue, or in a queue that is not there", async () => {
    const { ids } = await delayed(1);
    const other = await delayed(1);
    expect(await cancel(other.queue, ids[0]!)).toBe("message_not_found");
    expect(await cancel("nowhere", ids[0]!)).toBe("queue_not_found");
    expect(await broker.counts(other.queue)).toMatchObject({ delayed: 1 });
  });
});
