import { createInProcessBus } from "@sluice/bus";
import { cleanUp, ReplayDuty, type ReplayRequest } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, Client, numbered } from "./client.ts";
import { holdWith, refuseSlices, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start();
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const { engine } = broker;
const BEGINNING = { at: new Date(0) };

/** A topic with an archive, a subscribed queue, and what was published to it. */
async function archived(bodies: readonly string[] = []) {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  await engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
  const ids: string[] = [];
  for (const body of bodies) ids.push(...(await client.publish(topic, [body])));
  await until(async () => (await broker.counts(queue)).visible === bodies.length);
  const { items } = await engine.subscriptions.list(
    ACCOUNT,
    (await engine.topics.find(ACCOUNT, topic))?.id,
    {},
  );
  return { topic, queue, ids, subscription: { id: items[0]?.id ?? "", account: ACCOUNT } };
}

async function replay(subscription: { id: string; account: string }, request: ReplayRequest) {
  const { id } = await engine.replay(ACCOUNT, subscription.id, request);
  await untilEnded(subscription, id);
  return await engine.replays.find(subscription, id);
}

async function untilEnded(subscription: { id: string; account: string }, id: string) {
  await until(async () => (await engine.replays.find(subscription, id))?.status === "completed");
}

/** Subscribes a new queue, and waits for the end of the replay that it begins with. */
async function subscribeFrom(topic: string) {
  const queue = await broker.newQueue();
  const { subscription } = await engine.subscribe(ACCOUNT, topic, queue, { replayFrom: BEGINNING });
  const of = { id: subscription.id, account: ACCOUNT };
  const [first] = await engine.replays.list(of, 1);
  return { queue, of, replay: first?.id ?? "" };
}

describe("a replay", () => {
  test("delivers what was published again, in order and marked, to its subscription alone", async () => {
    const { topic, queue, subscription } = await archived(numbered(3));
    const other = await broker.newQueue();
    await engine.subscribe(ACCOUNT, topic, other);
    const live = await client.drain(queue);
    await client.acknowledge(queue, live);
    expect(await replay(subscription, { from: BEGINNING })).toMatchObject({
      status: "completed",
      replayed: 3,
      progress: 1,
    });
    const { messages } = await engine.peek(ACCOUNT, queue, {});
    expect(
      messages.map(({ replayed, sentAt }) => [replayed, Math.floor(sentAt.getTime())]),
    ).toEqual(live.map(({ sentAt }) => [true, sentAt]));
    const again = await client.drain(queue);
    expect(again.map(({ messageId }) => messageId)).toEqual(live.map(({ messageId }) => messageId));
    expect(again.map(({ sentAt, replayed }) => [sentAt, replayed])).toEqual(
      live.map(({ sentAt }) => [sentAt, true]),
    );
    expect(await client.drain(other)).toEqual([]);
  });

  test("delivers a page in the order of publishing, also of what several processes published", async () => {
    const { topic, queue, subscription } = await archived();
    // They take ids of batches from blocks of their own.
    const processes = [client, new Client(await broker.startEngine())];
    const bodies = numbered(20);
    for (const [index, body] of bodies.entries())
      await processes[index % 2]!.publish(topic, [body]);
    await until(async () => (await broker.counts(queue)).visible === 20);
    await client.finish(queue);
    expect(await replay(subscription, { from: BEGINNING })).toMatchObject({ replayed: 20 });
    const { messages } = await engine.peek(ACCOUNT, queue, { limit: 20 });
    expect(messages.map(({ body }) => body)).toEqual(bodies);
  });

  test("goes from one message to another one, both included, also within a batch", async () => {
    const { topic, queue, subscription } = await archived();
    const ids = await client.publish(topic, numbered(5));
    await until(async () => (await broker.counts(queue)).visible === 5);
    await client.finish(queue);
    const range = { from: { messageId: ids[1] ?? "" }, to: { messageId: ids[3] ?? "" } };
    expect(await replay(subscription, range)).toMatchObject({ replayed: 3 });
    expect(await client.finish(queue)).toEqual(["m1", "m2", "m3"]);
  });

  test("applies the filter that the subscription has now", async () => {
    const { queue, subscription } = await archived(['{"n":1}', '{"n":2}', '{"n":3}']);
    await client.finish(queue);
    await engine.subscriptions.update(ACCOUNT, subscription.id, {
      filterPolicy: { n: [2] },
      filterPolicyScope: "MessageBody",
    });
    expect(await replay(subscription, { from: BEGINNING })).toMatchObject({ replayed: 1 });
    expect(await client.finish(queue)).toEqual(['{"n":2}']);
  });

  test("delivers nothing by a filter that was changed after it was evaluated", async () => {
    const { queue, subscription } = await archived(['{"n":1}', '{"n":2}']);
    await client.finish(queue);
    await engine.subscriptions.update(ACCOUNT, subscription.id, {
      filterPolicy: { n: [2] },
      filterPolicyScope: "MessageBody",
    });
    const table = await holdWith(broker.sql, "LOCK TABLE slices IN SHARE MODE");
    const { id } = await engine.replay(ACCOUNT, subscription.id, { from: BEGINNING });
    // The page is read and evaluated, and the statement that delivers it waits.
    await untilBlocked(broker.sql);
    await broker.sql`UPDATE subscriptions SET filter_id = NULL WHERE id = ${subscription.id}`;
    await table.letGo();
    await untilEnded(subscription, id);
    expect((await client.finish(queue)).sort()).toEqual(['{"n":1}', '{"n":2}']);
  });

  test("is bound by its rate, refuses a second one, and ends when it is cancelled", async () => {
    const { queue, subscription } = await archived(numbered(3));
    await client.finish(queue);
    // So slow that it gets nowhere: the first message has room after 1,000 seconds.
    const { id } = await engine.replay(ACCOUNT, subscription.id, { from: BEGINNING, rate: 1 });
    await expect(
      engine.replay(ACCOUNT, subscription.id, { from: BEGINNING }),
    ).rejects.toMatchObject({ code: "replay_running" });
    await engine.replays.cancel(subscription, id);
    expect(await engine.replays.cancel(subscription, id)).toBeUndefined();
    expect(await engine.replays.find(subscription, id)).toMatchObject({ status: "cancelled" });
  });

  test("goes to a time as messages show it, that of the last one included", async () => {
    const { queue, subscription } = await archived(["m0"]);
    const live = await client.drain(queue);
    await client.acknowledge(queue, live);
    const at = new Date(live[0]?.sentAt ?? NaN);
    expect(await replay(subscription, { from: { at }, to: { at } })).toMatchObject({ replayed: 1 });
    expect(await client.finish(queue)).toEqual(["m0"]);
  });

  test("ends at its start where it is to go further: what comes later comes live alone", async () => {
    const { topic, queue, subscription } = await archived(["m0"]);
    await client.finish(queue);
    const to = { at: new Date("2999-01-01") };
    // So slow that the first message has room after a second.
    const { id } = await engine.replay(ACCOUNT, subscription.id, { from: BEGINNING, to, rate: 1 });
    await client.publish(topic, ["m1"]);
    await untilEnded(subscription, id);
    await broker.untilFannedOut();
    expect((await client.finish(queue)).toSorted()).toEqual(["m0", "m1"]);
  });

  test("does not end before it begins", async () => {
    const { topic, queue, subscription, ids } = await archived(["a", "b"]);
    const batch = await client.publish(topic, ["c", "d"]);
    await until(async () => (await broker.counts(queue)).visible === 4);
    const [first, second, third, fourth] = [...ids, ...batch].map((messageId) => ({ messageId }));
    const [before, after] = [{ at: new Date(1) }, { at: new Date("2999-01-01") }];
    for (const [from, to] of [
      [after, before],
      [first, before],
      [after, first],
      [second, first],
      [fourth, third],
    ]) {
      await expect(
        engine.replay(ACCOUNT, subscription.id, { from: from!, to }),
      ).rejects.toMatchObject({ code: "invalid_request", details: [{ path: "to" }] });
    }
    expect(await replay(subscription, { from: third!, to: third })).toMatchObject({ replayed: 1 });
    expect(await replay(subscription, { from: first!, to: after })).toMatchObject({ replayed: 4 });
  });

  test("takes the place of one that runs, if it is to; of many at once one goes on", async () => {
    const { queue, subscription } = await archived(["m"]);
    await client.finish(queue);
    await engine.replay(ACCOUNT, subscription.id, { from: BEGINNING, rate: 1 });
    const begun = await Promise.all(
      Array.from({ length: 5 }, () =>
        engine.replay(ACCOUNT, subscription.id, { from: { at: new Date() }, replace: true }),
      ),
    );
    const [newest, ...others] = await engine.replays.list(subscription, 10);
    expect(others.map(({ status }) => status)).toEqual(Array(5).fill("cancelled"));
    expect(begun.map(({ id }) => id)).toContain(newest?.id);
    await untilEnded(subscription, newest?.id ?? "");
  });

  test("is remembered for as long as its subscription, if it is the newest one", async () => {
    const { subscription } = await archived();
    await replay(subscription, { from: BEGINNING });
    const newest = await replay(subscription, { from: BEGINNING });
    await broker.clock.advance(15 * 86_400);
    await cleanUp(broker.database.maintenance);
    expect(await engine.replays.list(subscription, 10)).toEqual([newest]);
    await engine.replays.forget(subscription);
    expect(await engine.replays.list(subscription, 10)).toEqual([]);
  });

  test("keeps its mark and time through a visibility change and a split", async () => {
    const { topic, queue, subscription } = await archived();
    await client.publish(topic, numbered(4));
    await until(async () => (await broker.counts(queue)).visible === 4);
    const live = await client.drain(queue);
    await client.acknowledge(queue, live);
    await replay(subscription, { from: BEGINNING });
    // A receive takes a part of the slice, and the change a part of that.
    for (const one of await client.receive(queue, { maxMessages: 2 }))
      await client.hide(queue, [one], 0);
    const all = await client.drain(queue);
    expect(all.map(({ replayed }) => replayed)).toEqual([true, true, true, true]);
    expect(new Set(all.map(({ sentAt }) => sentAt))).toEqual(new Set([live[0]?.sentAt]));
  });

  test("needs an archive, and a message that is in it", async () => {
    const { topic, subscription } = await archived();
    const [id = ""] = await client.publish(topic, ["m"]);
    const madeUp = `00000000${id.slice(8)}`;
    await expect(
      engine.replay(ACCOUNT, subscription.id, { from: { messageId: madeUp } }),
    ).rejects.toMatchObject({ code: "message_not_found" });
    await engine.topics.update(ACCOUNT, topic, { archive: null });
    await expect(
      engine.replay(ACCOUNT, subscription.id, { from: BEGINNING }),
    ).rejects.toMatchObject({ code: "topic_not_archived" });
  });
});

describe("a subscription that begins with a replay", () => {
  test("gets each message once, however publishes, fan-outs and it fall together", async () => {
    const { topic } = await archived();
    const bodies = numbered(300);
    const publishing = Promise.all(
      Array.from({ length: 6 }, async (_, publisher) => {
        for (let at = publisher; at < bodies.length; at += 6)
          await client.publish(topic, [bodies[at] ?? ""]);
      }),
    );
    const subscribed = [];
    for (let count = 0; count < 5; count += 1) subscribed.push(await subscribeFrom(topic));
    await publishing;
    for (const { queue, of, replay: id } of subscribed) {
      await untilEnded(of, id);
      await until(async () => (await broker.counts(queue)).visible >= bodies.length);
      expect((await client.finish(queue)).sort()).toEqual([...bodies].sort());
    }
  });

  test("gets by the replay what a fan-out takes that began before it", async () => {
    const { topic } = await archived();
    // The fan-out has its snapshot, without the subscription, and waits with the batch in its hand.
    await broker.sql.unsafe(`
      CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN old; END $$;
      CREATE TRIGGER pass_gate BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION pass_gate()`);
    const held = await holdWith(broker.sql, "SELECT pg_advisory_xact_lock(1)");
    await client.publish(topic, ["m"]);
    await untilBlocked(broker.sql);
    const { queue, of, replay: id } = await subscribeFrom(topic);
    await held.letGo();
    await untilEnded(of, id);
    expect(await engine.replays.find(of, id)).toMatchObject({ replayed: 1 });
    expect(await client.finish(queue)).toEqual(["m"]);
    await broker.sql`DROP TRIGGER pass_gate ON outbox`;
  });
});

describe("after a restore into another cluster, a subscription that begins with a replay", () => {
  /** What was archived has the snapshots of a cluster whose transactions have so much higher numbers. */
  const restore = async (topic: string, ahead: number) => {
    const id = (await engine.topics.find(ACCOUNT, topic))?.id ?? "";
    await broker.sql`
      UPDATE archived_batches SET fanned_out = (xid || ':' || xid || ':')::pg_snapshot
      FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + ${ahead}::int AS xid) other
      WHERE topic_id = ${id}::bigint`;
  };

  test("gets all of the archive that came with it", async () => {
    const { topic } = await archived(["a", "b"]);
    await restore(topic, 1_000_000);
    const { queue, of, replay: id } = await subscribeFrom(topic);
    await untilEnded(of, id);
    await client.publish(topic, ["c"]);
    await broker.untilFannedOut();
    expect((await client.finish(queue)).sort()).toEqual(["a", "b", "c"]);
  });

  test("gets it also where the numbers have caught up meanwhile", async () => {
    const { topic } = await archived(["a", "b"]);
    await restore(topic, 100);
    // Whatever waits is replayed afterwards.
    const held = await holdWith(broker.sql, "LOCK TABLE archived_batches IN ACCESS EXCLUSIVE MODE");
    const { queue, of, replay: id } = await subscribeFrom(topic);
    for (let count = 0; count < 200; count += 1) await broker.sql`SELECT pg_current_xact_id()`;
    await held.letGo();
    await untilEnded(of, id);
    expect((await client.finish(queue)).sort()).toEqual(["a", "b"]);
  });
});

test("a subscription may begin with a part of the archive", async () => {
  const { topic, ids } = await archived(["a", "b", "c"]);
  const queue = await broker.newQueue();
  const { subscription } = await engine.subscribe(ACCOUNT, topic, queue, {
    replayFrom: BEGINNING,
    replayTo: { messageId: ids[1] ?? "" },
  });
  const of = { id: subscription.id, account: ACCOUNT };
  const [begun] = await engine.replays.list(of, 1);
  await untilEnded(of, begun?.id ?? "");
  await client.publish(topic, ["d"]);
  await until(async () => (await broker.counts(queue)).visible === 3);
  expect((await client.finish(queue)).sort()).toEqual(["a", "b", "d"]);
});

/** A replay of two batches that gets nowhere until it is let go. */
async function heldReplay() {
  const made = await archived();
  const { topic, queue, subscription } = made;
  for (const bodies of [numbered(50), numbered(50)]) await client.publish(topic, bodies);
  await until(async () => (await broker.counts(queue)).visible === 100);
  await client.finish(queue);
  // So slow that it has delivered nothing when it is held; a step skips what somebody has locked.
  const { id } = await engine.replay(ACCOUNT, subscription.id, { from: BEGINNING, rate: 1 });
  const held = await holdWith(broker.sql, `SELECT FROM replays WHERE id = '${id}' FOR KEY SHARE`);
  await until(async () => {
    const rows =
      await broker.sql`SELECT FROM replays WHERE id = ${id}::uuid AND started_at IS NOT NULL`;
    return rows.length > 0;
  });
  return { ...made, id, held };
}

async function archivedBatches(topic: string): Promise<number> {
  const id = (await engine.topics.find(ACCOUNT, topic))?.id ?? "";
  const rows = await broker.sql`SELECT FROM archived_batches WHERE topic_id = ${id}::bigint`;
  return rows.length;
}

describe("an archive", () => {
  test("keeps payloads that nobody else needs until its days are over", async () => {
    const { queue, subscription } = await archived(["m"]);
    await client.finish(queue);
    await broker.clock.advance(3_600);
    await cleanUp(broker.database.maintenance);
    await replay(subscription, { from: BEGINNING });
    expect(bodiesOf(await client.drain(queue))).toEqual(["m"]);
    await broker.clock.advance(86_400);
    await cleanUp(broker.database.maintenance);
    expect(await replay(subscription, { from: BEGINNING })).toMatchObject({ replayed: 0 });
  });

  test("starts empty when it is switched on again", async () => {
    const { topic, queue, subscription } = await archived(["m"]);
    await client.finish(queue);
    await engine.topics.update(ACCOUNT, topic, { archive: null });
    await engine.topics.update(ACCOUNT, topic, { archive: { days: 2 } });
    expect(await replay(subscription, { from: BEGINNING })).toMatchObject({ replayed: 0 });
    await cleanUp(broker.database.maintenance);
    const id = (await engine.topics.find(ACCOUNT, topic))?.id ?? "";
    expect(
      await broker.sql`SELECT FROM archived_batches WHERE topic_id = ${id}::bigint`,
    ).toHaveLength(0);
  });

  test("keeps what a running replay has still to read, until it has read it", async () => {
    const { topic, queue, subscription, id, held } = await heldReplay();
    await broker.clock.advance(2 * 86_400);
    await cleanUp(broker.database.maintenance);
    expect(await archivedBatches(topic)).toBe(2);
    await held.letGo();
    await untilEnded(subscription, id);
    expect(await engine.replays.find(subscription, id)).toMatchObject({ replayed: 100 });
    expect(await client.finish(queue)).toHaveLength(100);
    await cleanUp(broker.database.maintenance);
    expect(await archivedBatches(topic)).toBe(0);
  });

  test("does not keep it for ever: a replay that had not read it after 30 days is ended", async () => {
    const { topic, subscription, id, held } = await heldReplay();
    await broker.clock.advance(31 * 86_400);
    await cleanUp(broker.database.maintenance);
    await held.letGo();
    expect(await engine.replays.find(subscription, id)).toMatchObject({
      status: "cancelled",
      finishedAt: expect.any(Date),
    });
    expect(await archivedBatches(topic)).toBe(0);
  });

  test("keeps it for longer than that for a replay that goes on as its rate lets it", async () => {
    const { topic, subscription, id, held } = await heldReplay();
    // As if it had delivered a message each second of forty days.
    await broker.sql`UPDATE replays SET replayed = 40 * 86400 WHERE id = ${id}::uuid`;
    await broker.clock.advance(40 * 86_400);
    await cleanUp(broker.database.maintenance);
    expect(await engine.replays.find(subscription, id)).toMatchObject({ status: "running" });
    expect(await archivedBatches(topic)).toBe(2);
    await broker.clock.advance(31 * 86_400);
    await cleanUp(broker.database.maintenance);
    await held.letGo();
    expect(await engine.replays.find(subscription, id)).toMatchObject({ status: "cancelled" });
    expect(await archivedBatches(topic)).toBe(0);
  });

  test("keeps it for one that has read what is past its days, however long it has not gone on", async () => {
    const { topic, subscription, id, held } = await heldReplay();
    await engine.topics.update(ACCOUNT, topic, { archive: { days: 40 } });
    // As if the first batch had been published ten days before the second one, and delivered.
    await broker.sql`
      WITH first AS (
        UPDATE archived_batches SET published_at = published_at - interval '10 days'
        WHERE batch_id = (SELECT min(a.batch_id) FROM archived_batches a JOIN replays r ON r.topic_id = a.topic_id WHERE r.id = ${id}::uuid)
        RETURNING published_at, place
      ) UPDATE replays r SET done_at = first.published_at, done_place = first.place FROM first WHERE r.id = ${id}::uuid`;
    await broker.clock.advance(31 * 86_400);
    await cleanUp(broker.database.maintenance);
    expect(await engine.replays.find(subscription, id)).toMatchObject({ status: "running" });
    await held.letGo();
    await untilEnded(subscription, id);
    expect(await engine.replays.find(subscription, id)).toMatchObject({ replayed: 50 });
  });

  test("ends the replays of it when it is switched off", async () => {
    const { topic, subscription, id, held } = await heldReplay();
    await engine.topics.update(ACCOUNT, topic, { archive: { days: 2 } });
    expect(await engine.replays.find(subscription, id)).toMatchObject({ status: "running" });
    await engine.topics.update(ACCOUNT, topic, { archive: null });
    expect(await engine.replays.find(subscription, id)).toMatchObject({ status: "cancelled" });
    await held.letGo();
  });

  test("shows which subscriptions would get its newest messages", async () => {
    const { topic } = await archived(["a", "b", "c"]);
    const { items } = await engine.matchArchived(ACCOUNT, topic, { last: 2 });
    expect(items.map(({ message }) => message.body)).toEqual(["c", "b"]);
    expect(items[0]?.matches).toMatchObject([{ refusal: undefined }]);
  });
});

test("a replay that fails is told, and holds up no other", async () => {
  const [bad, good] = [await archived(["m"]), await archived(["m"])];
  for (const { queue } of [bad, good]) await client.finish(queue);
  const refusal = await refuseSlices(broker.sql, await broker.idOf(bad.queue));
  const { id } = await engine.replay(ACCOUNT, bad.subscription.id, { from: BEGINNING });
  await replay(good.subscription, { from: BEGINNING });
  expect(await client.finish(good.queue)).toEqual(["m"]);
  await until(() => Promise.resolve(broker.failures.length > 0));
  await refusal.end();
  await untilEnded(bad.subscription, id);
  expect(await client.finish(bad.queue)).toEqual(["m"]);
  const failures = broker.failures.splice(0);
  expect(new Set(failures.map(({ what }) => what))).toEqual(new Set(["replay"]));
});

test("two dispatchers that carry on the same replay deliver each message once", async () => {
  const { queue, subscription } = await archived(numbered(50));
  await client.finish(queue);
  const { id } = await engine.replay(ACCOUNT, subscription.id, { from: BEGINNING });
  const duties = Array.from(
    { length: 4 },
    () =>
      new ReplayDuty({
        sql: broker.database.sql,
        bus: createInProcessBus(),
        observer: broker.observer,
      }),
  );
  await Promise.all(duties.map((duty) => duty.runOnce()));
  await Promise.all(duties.map((duty) => duty.idle()));
  await untilEnded(subscription, id);
  expect((await client.finish(queue)).sort()).toEqual(numbered(50).sort());
});
