import { connect, createAdmin, queue, topic } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let admin: ReturnType<typeof createAdmin>;

beforeAll(async () => {
  sluice = await startSluice();
  admin = createAdmin(connect({ url: sluice.url }));
});
afterAll(() => sluice[Symbol.asyncDispose]());

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test("a topic is created once, read, changed and deleted", async () => {
  const orders = topic(unique("orders"));
  const created = await admin.topics.create(orders, { tags: { team: "shop" } });
  expect(created).toEqual({
    name: orders.name,
    fifo: false,
    contentBasedDeduplication: false,
    fifoThroughputScope: "topic",
    maxMessageSize: 262_144,
    tags: { team: "shop" },
    archive: null,
    createdAt: expect.any(Date),
  });
  await expect(admin.topics.create(orders, { tags: { team: "shop" } })).resolves.toEqual(created);
  await expect(admin.topics.create(orders)).rejects.toMatchObject({
    code: "topic_exists",
    status: 409,
  });
  await admin.topics.update(orders, { tags: { team: "billing" } });
  await expect(admin.topics.get(orders.name)).resolves.toMatchObject({ tags: { team: "billing" } });
  await admin.topics.delete(orders);
  await expect(admin.topics.get(orders)).rejects.toMatchObject({
    code: "topic_not_found",
    status: 404,
  });
  await expect(admin.topics.delete(orders)).rejects.toMatchObject({ code: "topic_not_found" });
});

test("a queue is created once, read with its counts, changed and deleted", async () => {
  const billing = queue(unique("billing"));
  const created = await admin.queues.create(billing, { visibilityTimeout: 45 });
  expect(created).toMatchObject({
    name: billing.name,
    visibilityTimeout: 45,
    delay: 0,
    retention: 345_600,
  });
  await expect(admin.queues.create(billing, { visibilityTimeout: 46 })).rejects.toMatchObject({
    code: "queue_exists",
  });
  const changed = await admin.queues.update(billing, { delay: 5, receiveWait: 3 });
  expect(changed).toMatchObject({ visibilityTimeout: 45, delay: 5, receiveWait: 3 });
  const { counts, totals } = await admin.queues.get(billing);
  expect(counts).toEqual({ visible: 0, inFlight: 0, delayed: 0, oldestMessageAge: null });
  expect(totals).toMatchObject({ sent: 0, acknowledged: 0 });
  await admin.queues.delete(billing);
  await expect(admin.queues.get(billing)).rejects.toMatchObject({ code: "queue_not_found" });
});

test("a queue is made sure of: created, then given what is named, the rest left as it is", async () => {
  const billing = queue(unique("billing"));
  const created = await admin.queues.ensure(billing, { visibilityTimeout: 45 });
  expect(created).toMatchObject({ name: billing.name, visibilityTimeout: 45, delay: 0 });
  await expect(admin.queues.ensure(billing, { visibilityTimeout: 45 })).resolves.toEqual(created);
  const changed = { ...created, delay: 5 };
  await expect(admin.queues.ensure(billing, { delay: 5 })).resolves.toEqual(changed);
  await expect(admin.queues.ensure(billing)).resolves.toEqual(changed);
  const nothing = { delay: undefined, fifo: false } as object;
  await expect(admin.queues.ensure(billing, nothing)).resolves.toEqual(changed);
  await expect(admin.queues.ensure(billing, { delay: -1 })).rejects.toMatchObject({
    code: "invalid_request",
  });
  await expect(admin.queues.create(billing, { delay: 6 })).rejects.toMatchObject({
    code: "queue_exists",
    details: [
      { path: "visibilityTimeout", message: "is 45; asked for was 30, the default" },
      { path: "delay", message: "is 5; asked for was 6" },
    ],
  });
  const ordered = unique("billing") + ".fifo";
  const fifo = { contentBasedDeduplication: true } as const;
  await admin.queues.ensure(ordered);
  await expect(admin.queues.ensure(ordered, { ...fifo, fifo: true })).resolves.toMatchObject(fifo);
});

test("a topic is made sure of: created, then given what is named, the rest left as it is", async () => {
  const orders = topic(unique("orders"));
  const created = await admin.topics.ensure(orders, { tags: { team: "shop" } });
  expect(created).toMatchObject({ name: orders.name, tags: { team: "shop" }, archive: null });
  const archive = { days: 7 };
  await expect(admin.topics.ensure(orders, { archive })).resolves.toEqual({ ...created, archive });
  await expect(admin.topics.ensure(orders)).resolves.toEqual({ ...created, archive });
});

test("a subscription is made sure of: created, then given what is named, the rest left as it is", async () => {
  const orders = topic(unique("orders"));
  const billing = queue(unique("billing"));
  await admin.topics.ensure(orders);
  await admin.queues.ensure(billing);
  await admin.queues.ensure(`${billing.name}-other`);
  await admin.subscribe(orders, `${billing.name}-other`);
  const policy = { kind: ["sale"] };
  const created = await admin.subscriptions.ensure(orders, billing, { filterPolicy: policy });
  expect(created).toMatchObject({ queue: billing.name, filterPolicy: policy, rawDelivery: true });
  const again = admin.subscriptions.ensure(orders, billing, { filterPolicy: policy });
  await expect(again).resolves.toEqual(created);
  const filterPolicy = { kind: ["refund"] };
  const changed = { ...created, filterPolicy };
  await expect(admin.subscriptions.ensure(orders, billing, { filterPolicy })).resolves.toEqual(
    changed,
  );
  await expect(admin.subscriptions.ensure(orders, billing)).resolves.toEqual(changed);
  await expect(
    admin.subscriptions.ensure(orders, billing, { rawDelivery: false }),
  ).resolves.toEqual({ ...changed, rawDelivery: false });
  const kinds = Array.from({ length: 40 }, (_, index) => `kind-${index}`);
  await expect(
    admin.subscribe(orders, billing, { filterPolicy: { kind: kinds } }),
  ).rejects.toMatchObject({
    code: "subscription_exists",
    details: [
      {
        path: "filterPolicy",
        message: expect.stringMatching(/^is {"kind":\["refund"\]}; asked for was .{200}…$/),
      },
      { path: "rawDelivery", message: "is false; asked for was true, the default" },
    ],
  });
  await expect(admin.subscriptions.ensure(unique("none"), billing)).rejects.toMatchObject({
    code: "topic_not_found",
  });
});

test("what is created with the settings of another one has its own name, and feeds its own queue", async () => {
  const [billing, twin] = [unique("billing"), unique("twin")];
  const { createdAt: _1, ...likeBilling } = await admin.queues.create(billing, { delay: 7 });
  const made = await admin.queues.create(twin, likeBilling);
  expect(made).toMatchObject({ name: twin, delay: 7 });

  const [orders, others] = [unique("orders"), unique("others")];
  const { createdAt: _2, ...likeOrders } = await admin.topics.create(orders, { tags: { a: "b" } });
  expect(await admin.topics.create(others, likeOrders)).toMatchObject({
    name: others,
    tags: { a: "b" },
  });

  const filterPolicy = { store: ["north"] };
  const subscription = await admin.subscribe(orders, billing, { filterPolicy });
  const { id: _3, topic: _4, queueDeleted: _5, createdAt: _6, ...likeIt } = subscription;
  expect(await admin.subscribe(orders, twin, likeIt)).toMatchObject({ queue: twin, filterPolicy });
});

test("lists are walked page by page, by prefix", async () => {
  const prefix = unique("page");
  const names = ["a", "b", "c", "d", "e"].map((letter) => `${prefix}-${letter}`);
  for (const name of names) {
    await admin.queues.create(name);
    await admin.topics.create(name);
  }
  const queues = await collect(admin.queues.list({ prefix, pageSize: 2 }));
  expect(queues.map(({ name }) => name)).toEqual(names);
  expect(queues[0]?.createdAt).toBeInstanceOf(Date);
  const topics = await collect(admin.topics.list({ prefix, pageSize: 5 }));
  expect(topics.map(({ name }) => name)).toEqual(names);
  await expect(collect(admin.queues.list({ prefix: unique("none") }))).resolves.toEqual([]);
});

test("a queue is subscribed once and unsubscribed by id", async () => {
  const orders = topic(unique("orders"));
  const billing = queue(unique("billing"), orders);
  const audit = queue(unique("audit"), orders);
  await admin.topics.create(orders);
  await admin.queues.create(billing);
  await admin.queues.create(audit);
  const subscription = await admin.subscribe(orders, billing);
  expect(subscription).toMatchObject({
    topic: orders.name,
    queue: billing.name,
    createdAt: expect.any(Date),
  });
  await expect(admin.subscriptions.create(orders, billing)).resolves.toEqual(subscription);
  await expect(admin.subscriptions.get(subscription.id)).resolves.toEqual(subscription);
  const second = await admin.subscribe(orders, audit);
  const ofTopic = await collect(admin.subscriptions.list({ topic: orders, pageSize: 1 }));
  expect(new Set(ofTopic.map(({ id }) => id))).toEqual(new Set([subscription.id, second.id]));
  const all = await collect(admin.subscriptions.list());
  expect(all.map(({ id }) => id)).toEqual(expect.arrayContaining([subscription.id, second.id]));
  await admin.subscriptions.delete(subscription.id);
  await expect(admin.subscriptions.get(subscription.id)).rejects.toMatchObject({
    code: "subscription_not_found",
  });
});

test("a subscription has a filter policy, which can be changed and tried", async () => {
  const orders = topic(unique("orders"));
  const north = queue(unique("north"), orders);
  const all = queue(unique("all"), orders);
  await Promise.all([
    admin.topics.create(orders),
    admin.queues.create(north),
    admin.queues.create(all),
  ]);
  const settings = {
    filterPolicy: { store: ["north"], total: [{ numeric: [">=", 100] }] },
  } as const;
  const subscription = await admin.subscribe(orders, north, settings);
  expect(subscription).toMatchObject({
    ...settings,
    filterPolicyScope: "MessageAttributes",
    rawDelivery: true,
    redrivePolicy: null,
    queueDeleted: false,
  });
  await expect(admin.subscribe(orders, north)).rejects.toMatchObject({
    code: "subscription_exists",
    status: 409,
  });
  await admin.subscribe(orders, all);
  const message = { body: "{}", attributes: { store: "north", total: 99.5 } };
  await expect(admin.subscriptions.match(orders, message)).resolves.toEqual([
    {
      subscription: subscription.id,
      queue: north.name,
      matches: false,
      refusal: { path: "total", message: expect.stringContaining("99.5") },
    },
    { subscription: expect.any(String), queue: all.name, matches: true },
  ]);
  const changed = await admin.subscriptions.update(subscription.id, {
    filterPolicy: null,
    redrivePolicy: { deadLetterQueue: all.name },
  });
  expect(changed).toMatchObject({
    filterPolicy: null,
    redrivePolicy: { deadLetterQueue: all.name },
  });
  await expect(admin.subscriptions.get(subscription.id)).resolves.toEqual(changed);
});

test("a filter policy with a mistake is refused with its place in it", async () => {
  const name = unique("filtered");
  await Promise.all([admin.topics.create(name), admin.queues.create(name)]);
  await expect(
    admin.subscribe(name, name, { filterPolicy: { total: [1, { numeric: [">", 5, "<", 1] }] } }),
  ).rejects.toMatchObject({
    code: "invalid_filter_policy",
    details: [{ path: "filterPolicy.total.1.numeric", message: expect.any(String) }],
  });
});

test("subscribing what is not there says which", async () => {
  const there = unique("there");
  await admin.topics.create(there);
  await admin.queues.create(there);
  await expect(admin.subscribe(there, unique("gone"))).rejects.toMatchObject({
    code: "queue_not_found",
  });
  await expect(admin.subscribe(unique("gone"), there)).rejects.toMatchObject({
    code: "topic_not_found",
  });
});

test("a setting out of range is refused with its path, a bad name before the network", async () => {
  await expect(
    admin.queues.create(unique("q"), { visibilityTimeout: 99_999 }),
  ).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "visibilityTimeout", message: expect.any(String) }],
  });
  await expect(admin.queues.create("no spaces")).rejects.toMatchObject({
    code: "invalid_name",
    status: undefined,
  });
});

test("an archive is replayed to a subscription, and tried on all of them", async () => {
  const orders = topic(unique("orders"));
  const first = queue(unique("first"));
  const second = queue(unique("second"));
  await admin.topics.create(orders, { archive: { days: 7 } });
  await expect(admin.topics.get(orders)).resolves.toMatchObject({ archive: { days: 7 } });
  for (const name of [first, second]) await admin.queues.create(name);
  const { id } = await admin.subscribe(orders, first);
  const started = await admin.subscriptions.replays.start(id, { from: new Date(0), rate: 10 });
  expect(started).toMatchObject({ subscription: id, rate: 10, from: new Date(0) });
  await expect(admin.subscriptions.replays.get(id, started.id)).resolves.toMatchObject({
    id: started.id,
    createdAt: expect.any(Date),
  });
  const begun = await admin.subscribe(orders, second, { replayFrom: new Date(0) });
  await expect(admin.subscriptions.replays.list(begun.id)).resolves.toMatchObject([
    { subscription: begun.id },
  ]);
  await expect(admin.subscriptions.replays.cancel(id, crypto.randomUUID())).rejects.toMatchObject({
    code: "replay_not_found",
    message: expect.stringContaining("has no replay"),
  });
  await expect(admin.subscriptions.replays.finished(id, started.id)).resolves.toMatchObject({
    id: started.id,
    status: "completed",
    finishedAt: expect.any(Date),
  });
  await expect(admin.subscriptions.replays.cancel(id, started.id)).rejects.toMatchObject({
    code: "replay_not_found",
    message: expect.stringContaining("is completed already"),
  });
  await expect(admin.subscriptions.matchArchived(orders, 10)).resolves.toEqual([]);
  await admin.topics.update(orders, { archive: null });
  await expect(admin.subscriptions.replays.start(id, { from: new Date(0) })).rejects.toMatchObject({
    code: "topic_not_archived",
  });
});

test("a message is traced by the id that its publish returned", async () => {
  const orders = topic(unique("orders"));
  const billing = queue(unique("billing"));
  await Promise.all([admin.topics.create(orders), admin.queues.create(billing)]);
  const { id } = await admin.subscribe(orders, billing);
  const connection = connect({ url: sluice.url });
  const { messageId } = await createProducer(connection).publish(orders, "m");
  for await (const message of createConsumer(connection, billing)) {
    expect(await admin.messages.trace(messageId)).toMatchObject({
      messageId,
      topic: orders.name,
      sentAt: expect.any(Date),
      recordedSince: expect.any(Date),
      deliveries: [
        {
          queue: billing.name,
          arrival: {
            by: "subscription",
            at: expect.any(Date),
            subscription: { id, deleted: false },
          },
          state: "inFlight",
          since: expect.any(Date),
          visibleAt: expect.any(Date),
          receiveCount: 1,
        },
      ],
    });
    await message.ack();
    break;
  }
  const { deliveries } = await admin.messages.trace(messageId);
  expect(deliveries).toMatchObject([{ state: "acknowledged", since: expect.any(Date) }]);
  await expect(admin.messages.trace(crypto.randomUUID())).rejects.toMatchObject({
    code: "message_not_found",
  });
});
