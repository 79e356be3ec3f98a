import { connectDatabase } from "@sluice/database";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, Client, numbered } from "./client.ts";
import {
  holdClaims,
  holdClaimsWithLocks,
  holdSlices,
  holdWith,
  untilBlocked,
} from "./interleaving.ts";

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

/** A queue with one batch of so many messages, all of them received in one call. */
async function received(count: number, visibilityTimeout = 60) {
  const queue = await broker.newQueue({ visibilityTimeout });
  await client.send(queue, numbered(count));
  const messages = await client.receive(queue, { maxMessages: count });
  expect(messages).toHaveLength(count);
  return { queue, messages };
}

test("an acknowledged message never comes back", async () => {
  const { queue, messages } = await received(1);
  expect(await client.acknowledge(queue, messages)).toEqual(["ok"]);
  expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  await broker.clock.advance(100_000);
  expect(await client.receive(queue)).toEqual([]);
});

test("acknowledging again says that it is no longer held", async () => {
  const { queue, messages } = await received(1);
  await client.acknowledge(queue, messages);
  expect(await client.acknowledge(queue, messages)).toEqual(["receipt_handle_expired"]);
});

test("the same handle twice in one call is done twice, and counts once", async () => {
  const { queue, messages } = await received(2);
  const before = broker.counted.acknowledged;
  const outcomes = await client.acknowledge(queue, [messages[0]!, messages[1]!, messages[0]!]);
  expect(outcomes).toEqual(["ok", "ok", "ok"]);
  expect(broker.counted.acknowledged - before).toBe(2);
});

test("messages of one batch that several calls acknowledge at once count once each", async () => {
  const { queue, messages } = await received(4);
  const before = broker.counted.acknowledged;
  const outcomes = await Promise.all(
    messages.map((message) => client.acknowledge(queue, [message])),
  );
  expect(outcomes.flat()).toEqual(messages.map(() => "ok"));
  expect(broker.counted.acknowledged - before).toBe(4);
});

test.each([{}, { fifo: true }])(
  "a message that one call names many times counts once, in a queue that is %j",
  async (settings) => {
    const queue = await broker.newQueue(settings);
    await client.send(queue, [
      { body: "m", ...(settings.fifo && { groupId: "g", deduplicationId: "1" }) },
    ]);
    const { slices } = await client.engine.receiver.receive(ACCOUNT, queue, {});
    const receipt = { receipt: slices[0]!.handlePrefix, bits: 1n };
    const before = broker.counted.acknowledged;
    const receipts = [receipt, receipt, receipt];
    const { acknowledger } = client.engine;
    expect(await acknowledger.acknowledgeReceipts(ACCOUNT, queue, receipts)).toEqual([1n, 1n, 1n]);
    expect(broker.counted.acknowledged - before).toBe(1);
  },
);

test("any process acknowledges what another one handed out", async () => {
  const { queue, messages } = await received(5);
  expect(await otherProcess.acknowledge(queue, messages)).toEqual(messages.map(() => "ok"));
  expect(await broker.counts(queue)).toMatchObject({ inFlight: 0 });
});

test("processes that are started at once on a new database do so as well", async () => {
  await using own = await Broker.start({ engines: 0, dispatchers: 0 });
  // Both have found no secret before either can store one.
  const secrets = await holdWith(own.sql, "LOCK TABLE secrets IN SHARE MODE");
  const started = Promise.all([own.startEngine(), own.startEngine()]);
  await untilBlocked(own.sql, 2);
  await secrets.letGo();
  await started;
  const queue = await own.newQueue();
  await own.client().send(queue, ["m"]);
  expect(await own.client(1).acknowledge(queue, await own.client().receive(queue))).toEqual(["ok"]);
});

test("some messages of a batch go, the others come back", async () => {
  const { queue, messages } = await received(63);
  const odd = messages.filter((_, index) => index % 2 === 1);
  const even = messages.filter((_, index) => index % 2 === 0);
  expect(await client.acknowledge(queue, odd)).toEqual(odd.map(() => "ok"));
  expect(await broker.counts(queue)).toMatchObject({ inFlight: even.length });
  await broker.clock.advance(60);
  const back = await client.drain(queue);
  expect(bodiesOf(back)).toEqual(bodiesOf(even));
  expect(await client.acknowledge(queue, back)).toEqual(even.map(() => "ok"));
  expect(await client.acknowledge(queue, messages)).toEqual(
    messages.map(() => "receipt_handle_expired"),
  );
});

test("handles of several batches and receives go in one call, each with its own answer", async () => {
  const { queue, messages: gone } = await received(3);
  await client.acknowledge(queue, gone);
  await client.send(queue, ["a", "b"]);
  await client.send(queue, ["c"]);
  const held = [
    ...(await client.receive(queue)),
    ...(await client.receive(queue, { maxMessages: 9 })),
  ];
  const outcomes = await client.acknowledge(queue, [gone[0]!, ...held, gone[2]!]);
  expect(outcomes).toEqual(["receipt_handle_expired", "ok", "ok", "ok", "receipt_handle_expired"]);
});

describe("a late acknowledge with an old receipt handle", () => {
  /** Received by one worker, timed out, received by another one. */
  async function receivedAgain(count = 1) {
    const { queue, messages: old } = await received(count);
    await broker.clock.advance(60);
    const current = await otherProcess.receive(queue, { maxMessages: count });
    expect(bodiesOf(current)).toEqual(bodiesOf(old));
    return { queue, old, current };
  }

  test("is refused and changes nothing", async () => {
    const { queue, old, current } = await receivedAgain(5);
    expect(await client.acknowledge(queue, old)).toEqual(old.map(() => "receipt_handle_expired"));
    expect(await broker.counts(queue)).toMatchObject({ inFlight: 5 });
    expect(await client.acknowledge(queue, current)).toEqual(current.map(() => "ok"));
  });

  test("is refused also when the new holder has changed the visibility", async () => {
    const { queue, old, current } = await receivedAgain(5);
    await otherProcess.hide(queue, current.slice(0, 2), 600);
    expect(await client.acknowledge(queue, old)).toEqual(old.map(() => "receipt_handle_expired"));
    expect(await client.acknowledge(queue, current)).toEqual(current.map(() => "ok"));
  });

  test("is refused also when the old holder had changed the visibility", async () => {
    const { queue, messages: old } = await received(3);
    await client.hide(queue, old, 0);
    const current = await otherProcess.receive(queue, { maxMessages: 3 });
    expect(await client.acknowledge(queue, old)).toEqual(old.map(() => "receipt_handle_expired"));
    expect(await otherProcess.acknowledge(queue, current)).toEqual(current.map(() => "ok"));
  });

  test("is refused for the part of a batch that somebody else has, and done for the rest", async () => {
    const { queue, messages: old } = await received(10);
    await broker.clock.advance(60);
    const current = await otherProcess.receive(queue, { maxMessages: 3 });
    const outcomes = await client.acknowledge(queue, old);
    expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(7);
    expect(await otherProcess.acknowledge(queue, current)).toEqual(["ok", "ok", "ok"]);
    await broker.clock.advance(1_000);
    expect(await client.receive(queue)).toEqual([]);
  });

  test("is done while nobody else has received the message", async () => {
    const { queue, messages } = await received(2);
    await broker.clock.advance(600);
    expect(await client.acknowledge(queue, messages)).toEqual(["ok", "ok"]);
    expect(await client.receive(queue)).toEqual([]);
  });
});

describe("at the same instant", () => {
  test("one by one from two processes, all messages of a batch are acknowledged", async () => {
    for (let round = 0; round < 5; round += 1) {
      const { queue, messages } = await received(63);
      const outcomes = await Promise.all(
        messages.map((message, index) =>
          (index % 2 === 0 ? client : otherProcess).acknowledge(queue, [message]),
        ),
      );
      expect(outcomes.flat()).toEqual(messages.map(() => "ok"));
      expect(
        await broker.sql`SELECT FROM slices WHERE queue_id = ${await broker.idOf(queue)}`,
      ).toEqual([]);
    }
  });

  test("the same message from two processes goes once, and the call that was second may say so", async () => {
    const { queue, messages } = await received(20);
    const [one, other] = await Promise.all([
      client.acknowledge(queue, messages),
      otherProcess.acknowledge(queue, messages),
    ]);
    for (let index = 0; index < 20; index += 1) {
      expect([one[index], other[index]]).toContain("ok");
      expect(["ok", "receipt_handle_expired"]).toEqual(
        expect.arrayContaining([one[index], other[index]]),
      );
    }
    await broker.clock.advance(1_000);
    expect(await client.receive(queue)).toEqual([]);
  });

  test("an acknowledge that waits for a visibility change acknowledges what that change split off", async () => {
    const { queue, messages } = await received(3);
    const slices = await holdSlices(broker.sql, await broker.idOf(queue));
    const hiding = client.hide(queue, messages.slice(0, 1), 600);
    await untilBlocked(broker.sql, 1, 0.3);
    const acknowledging = otherProcess.acknowledge(queue, messages);
    await untilBlocked(broker.sql, 2, 0.3);
    await slices.letGo();
    expect(await hiding).toEqual(["ok"]);
    expect(await acknowledging).toEqual(["ok", "ok", "ok"]);
    expect(
      await broker.sql`SELECT FROM slices WHERE queue_id = ${await broker.idOf(queue)}`,
    ).toEqual([]);
  });

  test("a visibility change that waits for an acknowledge brings nothing back", async () => {
    const { queue, messages } = await received(3);
    const slices = await holdSlices(broker.sql, await broker.idOf(queue));
    const acknowledging = otherProcess.acknowledge(queue, messages.slice(0, 1));
    await untilBlocked(broker.sql, 1, 0.3);
    const hiding = client.hide(queue, messages, 0);
    await untilBlocked(broker.sql, 2, 0.3);
    await slices.letGo();
    expect(await acknowledging).toEqual(["ok"]);
    expect(await hiding).toEqual(["message_not_in_flight", "ok", "ok"]);
    expect(bodiesOf(await client.drain(queue))).toEqual(["m1", "m2"]);
  });

  test("a late acknowledge that waits for a claim is refused", async () => {
    const { queue, messages } = await received(3);
    await broker.clock.advance(60);
    const claims = await holdClaimsWithLocks(broker.sql);
    const receiving = otherProcess.receive(queue, { maxMessages: 10 });
    await untilBlocked(broker.sql, 1);
    const acknowledging = client.acknowledge(queue, messages);
    await untilBlocked(broker.sql, 2);
    await claims.letGo();
    const current = await receiving;
    expect(await acknowledging).toEqual(messages.map(() => "receipt_handle_expired"));
    expect(await otherProcess.acknowledge(queue, current)).toEqual(["ok", "ok", "ok"]);
  });

  test("each message goes to the late acknowledge or to the receive that shares its statement", async () => {
    const other = await broker.newQueue();
    for (let round = 0; round < 10; round += 1) {
      const { queue, messages: old } = await received(20, 60 + round);
      await broker.clock.advance(70);
      // While a claim is under way both wait for the next statement.
      const claims = await holdClaims(broker.sql);
      const before = client.receive(other);
      await untilBlocked(broker.sql);
      const both = [
        client.acknowledge(queue, old),
        client.receive(queue, { maxMessages: 5 + round }),
      ] as const;
      await claims.letGo();
      const [outcomes, current] = await Promise.all(both);
      await before;
      const acknowledged = old.filter((_, index) => outcomes[index] === "ok");
      const left = await client.drain(queue);
      expect(bodiesOf([...acknowledged, ...current, ...left]).toSorted()).toEqual(
        bodiesOf(old).toSorted(),
      );
      expect(await client.acknowledge(queue, [...current, ...left])).not.toContain(
        "receipt_handle_expired",
      );
      await broker.clock.advance(1_000);
      expect(await client.receive(queue)).toEqual([]);
    }
  });

  test("an acknowledge that waits for a lock holds up no receive, and is done after it", async () => {
    const { queue, messages } = await received(3);
    const other = await broker.newQueue();
    await client.send(other, numbered(2));
    const slices = await holdSlices(broker.sql, await broker.idOf(queue));
    const acknowledging = client.acknowledge(queue, messages);
    expect(bodiesOf(await client.receive(other))).toEqual(["m0"]);
    await untilBlocked(broker.sql, 1);
    expect(bodiesOf(await client.receive(other))).toEqual(["m1"]);
    await slices.letGo();
    expect(await acknowledging).toEqual(["ok", "ok", "ok"]);
  });

  test.each([1, 70])(
    "acknowledges of %i batches that wait for a lock hold up none of another queue, whether sent with them or after them",
    async (count) => {
      const [locked, free] = [await broker.newQueue(), await broker.newQueue()];
      for (const queue of [locked, free]) {
        for (const body of numbered(count + 2)) await client.send(queue, [body]);
      }
      const [waiting, going] = [await client.drain(locked), await client.drain(free)];
      const slices = await holdSlices(broker.sql, await broker.idOf(locked));
      const acknowledging = [client.acknowledge(locked, waiting.slice(1))];
      expect(await client.acknowledge(free, going.slice(2))).not.toContain(
        "receipt_handle_expired",
      );
      await untilBlocked(broker.sql);
      expect(await client.acknowledge(free, going.slice(0, 1))).toEqual(["ok"]);
      acknowledging.push(client.acknowledge(locked, waiting.slice(0, 1)));
      expect(await client.acknowledge(free, going.slice(1, 2))).toEqual(["ok"]);
      await slices.letGo();
      expect((await Promise.all(acknowledging)).flat()).toEqual(waiting.map(() => "ok"));
      expect(await broker.counts(locked)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    },
  );

  test("an acknowledge waits for no claim that takes long", async () => {
    const { queue, messages } = await received(3);
    const other = await broker.newQueue();
    const claims = await holdClaims(broker.sql);
    const receiving = client.receive(other);
    await untilBlocked(broker.sql);
    expect(await client.acknowledge(queue, messages.slice(0, 1))).toEqual(["ok"]);
    expect(await client.acknowledge(queue, messages.slice(1))).toEqual(["ok", "ok"]);
    await claims.letGo();
    expect(await receiving).toEqual([]);
  });

  test("an acknowledge of messages that were hidden for longer shares a statement with others", async () => {
    const { queue, messages } = await received(10);
    await client.hide(queue, messages.slice(0, 4), 600);
    const [some, others, none] = await Promise.all([
      client.acknowledge(queue, messages.slice(0, 6)),
      client.acknowledge(queue, messages.slice(6)),
      client.receive(queue),
    ]);
    expect([...some, ...others]).toEqual(messages.map(() => "ok"));
    expect(none).toEqual([]);
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  });
});

test("what is done does not count among what may wait", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["m"]);
  const { slices } = await client.engine.receiver.receive(ACCOUNT, queue, {});
  // As many as there may be are 200,000: a call waits alone, and then the next one does.
  const receipts = Array.from({ length: 150_000 }, () => ({
    receipt: slices[0]!.handlePrefix,
    bits: 1n,
  }));
  const { acknowledger } = client.engine;
  const first = await acknowledger.acknowledgeReceipts(ACCOUNT, queue, receipts);
  expect(new Set(first)).toEqual(new Set([1n]));
  const again = await acknowledger.acknowledgeReceipts(ACCOUNT, queue, receipts);
  expect(new Set(again)).toEqual(new Set([0n]));
});

test("many processes acknowledge messages of one batch at the same time, however often others are before them", async () => {
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const database = connectDatabase({ url: broker.databaseUrl, pool: 1 });
      return new Client(await broker.startEngine(database));
    }),
  );
  const { queue, messages } = await received(20, 600);
  // As a commit on a slow disk does it, each keeps the row for a while.
  await broker.sql.unsafe(`
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.03); RETURN coalesce(new, old); END $$;
    CREATE TRIGGER wait BEFORE UPDATE OR DELETE ON slices FOR EACH ROW EXECUTE FUNCTION wait()`);
  const slices = await holdSlices(broker.sql, await broker.idOf(queue));
  const outcomes = messages.map((message, index) => clients[index]!.acknowledge(queue, [message]));
  // Longer than those wait that give it up soon.
  await untilBlocked(broker.sql, 20, 0.2);
  await slices.letGo();
  expect((await Promise.all(outcomes)).flat()).toEqual(messages.map(() => "ok"));
  await broker.sql`DROP TRIGGER wait ON slices`;
});
