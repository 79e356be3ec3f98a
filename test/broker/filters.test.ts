import { cleanUp, type MessageAttribute, type SubscriptionSettings } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdTable, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

/** A new queue that is subscribed to the topic with these settings. */
async function subscribed(
  topic: string,
  settings: Partial<SubscriptionSettings>,
  of = broker,
): Promise<{ queue: string; id: string }> {
  const queue = await of.newQueue();
  const { subscription } = await of.engine.subscribe(ACCOUNT, topic, queue, settings);
  return { queue, id: subscription.id };
}

function colored(body: string, color: string) {
  const attributes: Record<string, MessageAttribute> = { color: { type: "String", value: color } };
  return { body, attributes };
}

describe("a filter policy", () => {
  test("on attributes lets through what it accepts, to each queue its own", async () => {
    const topic = await broker.newTopic();
    const red = await subscribed(topic, { filterPolicy: { color: ["red"] } });
    const warm = await subscribed(topic, { filterPolicy: { color: ["red", { prefix: "o" }] } });
    const all = await subscribed(topic, {});
    await client.publish(topic, [
      colored("1", "red"),
      colored("2", "blue"),
      colored("3", "orange"),
      "4",
    ]);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(red.queue))).toEqual(["1"]);
    expect(bodiesOf(await client.drain(warm.queue))).toEqual(["1", "3"]);
    expect(bodiesOf(await client.drain(all.queue))).toEqual(["1", "2", "3", "4"]);
  });

  test("on bodies reads JSON, and accepts nothing that is none", async () => {
    const topic = await broker.newTopic();
    const { queue } = await subscribed(topic, {
      filterPolicy: { order: { total: [{ numeric: [">=", 100] }] } },
      filterPolicyScope: "MessageBody",
    });
    const large = '{"order":{"total":100}}';
    await client.publish(topic, [large, '{"order":{"total":99}}', "plain", '{"order":', "[]"]);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(queue))).toEqual([large]);
  });

  test("counts in its own scope, also where another one has the same text in the other", async () => {
    const topic = await broker.newTopic();
    const filterPolicy = { color: ["red"] };
    const attributes = await subscribed(topic, { filterPolicy });
    const bodies = await subscribed(topic, { filterPolicy, filterPolicyScope: "MessageBody" });
    const red = '{"color":"red"}';
    await client.publish(topic, [colored("1", "red"), red]);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(attributes.queue))).toEqual(["1"]);
    expect(bodiesOf(await client.drain(bodies.queue))).toEqual([red]);
  });

  test("that accepts nothing of a batch leaves no row", async () => {
    const topic = await broker.newTopic();
    const { queue } = await subscribed(topic, { filterPolicy: { color: ["none"] } });
    await client.publish(topic, numbered(100));
    await broker.untilFannedOut();
    const id = await broker.idOf(queue);
    expect(await broker.sql`SELECT FROM slices WHERE queue_id = ${id}`).toHaveLength(0);
  });

  test("is kept once for all subscriptions that have it", async () => {
    const topic = await broker.newTopic();
    const filterPolicy = { shared: ["by", "all"] };
    const queues = await Promise.all(
      Array.from({ length: 5 }, () => subscribed(topic, { filterPolicy })),
    );
    const rows = await broker.sql`SELECT FROM filter_policies WHERE policy LIKE '%shared%'`;
    expect(rows).toHaveLength(1);
    const attributes = { shared: { type: "String", value: "by" } };
    await client.publish(topic, [{ body: "m", attributes }, "n"]);
    await broker.untilFannedOut();
    for (const { queue } of queues) expect(bodiesOf(await client.drain(queue))).toEqual(["m"]);
  });

  test("that is empty accepts everything, as none does", async () => {
    const topic = await broker.newTopic();
    const { queue, id } = await subscribed(topic, { filterPolicy: {} });
    expect(await broker.engine.subscriptions.find(ACCOUNT, id)).toMatchObject({
      filterPolicy: null,
    });
    await client.publish(topic, ["m"]);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(queue))).toEqual(["m"]);
  });

  test("with a mistake is refused with its place, and changes nothing", async () => {
    const topic = await broker.newTopic();
    const queue = await broker.newQueue();
    const filterPolicy = { total: [1, { numeric: [">", "1"] }] };
    await expect(
      broker.engine.subscribe(ACCOUNT, topic, queue, { filterPolicy }),
    ).rejects.toMatchObject({
      code: "invalid_filter_policy",
      details: [{ path: "filterPolicy.total.1.numeric.1" }],
    });
    const { id } = (await broker.engine.subscribe(ACCOUNT, topic, queue)).subscription;
    await expect(
      broker.engine.subscriptions.update(ACCOUNT, id, { filterPolicy }),
    ).rejects.toMatchObject({ code: "invalid_filter_policy" });
    expect(await broker.engine.subscriptions.find(ACCOUNT, id)).toMatchObject({
      filterPolicy: null,
    });
  });

  test("that cannot be read accepts nothing, and raises an alarm", async () => {
    await using odd = await Broker.start();
    const topic = await odd.newTopic();
    const broken = await subscribed(topic, { filterPolicy: { color: ["red"] } }, odd);
    const all = await subscribed(topic, {}, odd);
    await odd.sql`UPDATE filter_policies SET policy = '{"color": "no list"}'`;
    await odd.client().publish(topic, [colored("m", "red")]);
    await odd.untilFannedOut();
    expect(bodiesOf(await odd.client().drain(all.queue))).toEqual(["m"]);
    expect(bodiesOf(await odd.client().drain(broken.queue))).toEqual([]);
    // By each who reads it: where that takes a second, the sweeper does so as well.
    const raised = odd.failures.splice(0).map(({ what }) => what);
    expect([...new Set(raised)]).toEqual(["filter policy"]);
  });

  test("that nobody has any more is cleaned up after an hour", async () => {
    await using tidy = await Broker.start({ dispatchers: 0 });
    const topic = await tidy.newTopic();
    const { id } = await subscribed(topic, { filterPolicy: { used: ["once"] } }, tidy);
    await subscribed(topic, { filterPolicy: { still: ["used"] } }, tidy);
    await tidy.engine.subscriptions.delete(ACCOUNT, id);
    await tidy.clock.advance(3_601);
    expect(await cleanUp(tidy.database.maintenance)).toMatchObject({ filterPolicies: 1 });
    expect(await tidy.sql`SELECT policy FROM filter_policies`).toEqual([
      { policy: '{"still":["used"]}' },
    ]);
  });
});

test("a policy that is taken up in the instant of its removal stays, and the rest of the clean-up goes on", async () => {
  await using tidy = await Broker.start({ dispatchers: 0 });
  const topic = await tidy.newTopic();
  const { id: leaving } = await subscribed(topic, { filterPolicy: { taken: ["up"] } }, tidy);
  const { id: taker } = await subscribed(topic, {}, tidy);
  await tidy.engine.subscriptions.delete(ACCOUNT, leaving);
  const queue = await tidy.newQueue();
  await tidy.engine.queues.delete(ACCOUNT, queue);
  await tidy.clock.advance(3_601);
  await tidy.sql.unsafe(`
    CREATE FUNCTION take_up() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE subscriptions SET filter_id = old.id WHERE id = '${taker}'; RETURN old; END $$;
    CREATE TRIGGER take_up BEFORE DELETE ON filter_policies FOR EACH ROW EXECUTE FUNCTION take_up()`);
  expect(await cleanUp(tidy.database.maintenance)).toMatchObject({ filterPolicies: 0 });
  expect(await tidy.sql`SELECT FROM filter_policies`).toHaveLength(1);
  // Comes after the policies.
  expect(await tidy.sql`SELECT FROM deleted_queues`).toEqual([]);
});

describe("subscribing again", () => {
  test("with the same settings finds the subscription, with others is refused", async () => {
    const topic = await broker.newTopic();
    const settings = { filterPolicy: { a: ["1"] }, rawDelivery: false };
    const { queue, id } = await subscribed(topic, settings);
    const again = await broker.engine.subscribe(ACCOUNT, topic, queue, settings);
    expect(again).toMatchObject({ created: false, subscription: { id, ...settings } });
    await expect(
      broker.engine.subscribe(ACCOUNT, topic, queue, { ...settings, filterPolicy: { a: ["2"] } }),
    ).rejects.toMatchObject({ code: "subscription_exists", message: /another filterPolicy/ });
  });
});

describe("a change of settings", () => {
  test("counts for what is published after it; null clears", async () => {
    const topic = await broker.newTopic();
    const { queue, id } = await subscribed(topic, { filterPolicy: { color: ["red"] } });
    const { subscriptions } = broker.engine;
    for (const [index, filterPolicy] of [{ color: ["blue"] }, null, { color: ["red"] }].entries()) {
      await subscriptions.update(ACCOUNT, id, { filterPolicy });
      await client.publish(topic, [
        colored(`red ${index}`, "red"),
        colored(`blue ${index}`, "blue"),
      ]);
      await broker.untilFannedOut();
    }
    const received = bodiesOf(await client.drain(queue));
    expect(received).toEqual(["blue 0", "red 1", "blue 1", "red 2"]);
  });

  test("to a scope that the policy does not fit is refused", async () => {
    const topic = await broker.newTopic();
    const { id } = await subscribed(topic, {
      filterPolicy: { a: { b: [1] } },
      filterPolicyScope: "MessageBody",
    });
    await expect(
      broker.engine.subscriptions.update(ACCOUNT, id, { filterPolicyScope: "MessageAttributes" }),
    ).rejects.toMatchObject({
      code: "invalid_filter_policy",
      details: [{ path: "filterPolicy.a" }],
    });
  });

  test("leaves what is not named; two at once both count", async () => {
    const topic = await broker.newTopic();
    const { id } = await subscribed(topic, {});
    const { subscriptions } = broker.engine;
    await Promise.all([
      subscriptions.update(ACCOUNT, id, { filterPolicy: { a: ["1"] } }),
      subscriptions.update(ACCOUNT, id, { rawDelivery: false }),
      subscriptions.update(ACCOUNT, id, { filterPolicyScope: "MessageBody" }),
    ]);
    expect(await subscriptions.find(ACCOUNT, id)).toMatchObject({
      filterPolicy: { a: ["1"] },
      rawDelivery: false,
      filterPolicyScope: "MessageBody",
    });
  });

  test("between evaluation and fan-out is not half applied: the batch is evaluated anew", async () => {
    await using slow = await Broker.start({ dispatchers: 1 });
    const topic = await slow.newTopic();
    const { queue, id } = await subscribed(topic, { filterPolicy: { color: ["red"] } }, slow);
    const other = await subscribed(topic, { filterPolicy: { color: ["blue"] } }, slow);
    const table = await holdTable(slow.sql, "filter_policies");
    await slow.client().publish(topic, [colored("1", "red"), colored("2", "blue")]);
    // The dispatcher knows which filters it needs by now, and waits to read them.
    await untilBlocked(slow.sql);
    await slow.sql`UPDATE subscriptions SET filter_id = NULL WHERE id = ${id}`;
    await table.letGo();
    await slow.untilFannedOut();
    expect(bodiesOf(await slow.client().drain(queue))).toEqual(["1", "2"]);
    expect(bodiesOf(await slow.client().drain(other.queue))).toEqual(["2"]);
  });
});

test(
  "concurrent publishes, subscriptions and policy changes: each message goes where the policies of its time send it",
  { timeout: 120_000 },
  async () => {
    await using many = await Broker.start({ engines: 2, dispatchers: 2 });
    const topic = await many.newTopic();
    const { queue, id } = await subscribed(topic, { filterPolicy: { color: ["red"] } }, many);
    const history: { body: string; color: string; from: number; to: number }[] = [];
    const changes: { accepts: string[]; from: number; to: number }[] = [
      { accepts: ["red"], from: 0, to: 0 },
    ];
    let clock = 0;
    const publishing = new AbortController();

    const publish = async (by: number) => {
      for (let index = 0; !publishing.signal.aborted; index += 1) {
        const color = index % 2 === 0 ? "red" : "blue";
        const body = `${by}/${index}`;
        const from = (clock += 1);
        const [messageId = ""] = await many.client(by).publish(topic, [colored(body, color)]);
        const batchId = String(Number.parseInt(messageId.slice(-12), 16));
        await until(async () => !(await many.waitingBatches()).includes(batchId));
        history.push({ body, color, from, to: (clock += 1) });
      }
    };
    const change = async () => {
      for (let index = 0; index < 40; index += 1) {
        const accepts = [["blue"], ["red", "blue"], ["red"], ["none"]][index % 4] ?? [];
        const from = (clock += 1);
        await many.engines[index % 2]?.subscriptions.update(ACCOUNT, id, {
          filterPolicy: { color: accepts },
        });
        changes.push({ accepts, from, to: (clock += 1) });
        const passing = await subscribed(topic, {}, many);
        await many.engine.subscriptions.delete(ACCOUNT, passing.id);
      }
      publishing.abort();
    };
    await Promise.all([publish(0), publish(1), change()]);

    const received = bodiesOf(await many.client().drain(queue));
    expect(new Set(received).size).toBe(received.length);
    const got = new Set(received);
    let certain = 0;
    for (const { body, color, from, to } of history) {
      // The policy that was in force when the call began, and those that were set before the fan-out was seen to be
      // done.
      const before = changes.filter((one) => one.to < from).at(-1);
      const meanwhile = changes.filter((one) => one.to >= from && one.from <= to);
      const verdicts = new Set([before, ...meanwhile].map((one) => one?.accepts.includes(color)));
      if (verdicts.size > 1) continue;
      certain += 1;
      expect([body, got.has(body)]).toEqual([body, verdicts.has(true)]);
    }
    expect(certain).toBeGreaterThan(0);
  },
);

describe("a dry run", () => {
  test("tells who would get a message, and which clause refuses it, and publishes nothing", async () => {
    const topic = await broker.newTopic();
    const red = await subscribed(topic, { filterPolicy: { color: ["red"] } });
    const all = await subscribed(topic, {});
    const body = await subscribed(topic, {
      filterPolicy: { total: [1] },
      filterPolicyScope: "MessageBody",
    });
    const before = await broker.sql`SELECT FROM batches`;
    const { items } = await broker.engine.match(ACCOUNT, topic, { message: colored("m", "blue") });
    expect(items.map(({ subscription, refusal }) => [subscription.id, refusal])).toEqual([
      [red.id, { path: "color", message: '["blue"] fulfils none of ["red"]' }],
      [all.id, undefined],
      [body.id, { path: "", message: "the body is no JSON object" }],
    ]);
    expect(await broker.sql`SELECT FROM batches`).toHaveLength(before.length);
  });

  test("is not given up because it had to wait for the list of the subscriptions", async () => {
    const topic = await broker.newTopic();
    await subscribed(topic, {});
    const held = await holdTable(broker.sql, "filter_policies");
    const page = broker.engine.match(ACCOUNT, topic, { message: { body: "m" } });
    await untilBlocked(broker.sql, 1, 5.1);
    await held.letGo();
    expect((await page).items).toHaveLength(1);
  });

  test("refuses a message that could not be published", async () => {
    const topic = await broker.newTopic();
    await expect(
      broker.engine.match(ACCOUNT, topic, { message: { body: "" } }),
    ).rejects.toMatchObject({ code: "invalid_request", details: [{ path: "message" }] });
  });
});
