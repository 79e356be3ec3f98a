import { connect, createAdmin } from "@sluice/client";
import type { NewSubscriptionSettings } from "@sluice/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { json, refusal, scriptedServer } from "./scripted-server.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let admin: ReturnType<typeof createAdmin>;

beforeAll(async () => {
  sluice = await startSluice();
  admin = createAdmin(connect({ url: sluice.url }));
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** A topic and a queue that is not subscribed to it. */
async function topicAndQueue(archive: { days: number } | null = null) {
  const names = { topic: unique("orders"), queue: unique("billing") };
  await admin.topics.create(names.topic, { archive });
  await admin.queues.create(names.queue);
  return names;
}

test("a policy alone is taken for the scope that a subscription has", async () => {
  const { topic, queue } = await topicAndQueue();
  const ensure = (settings: NewSubscriptionSettings) =>
    admin.subscriptions.ensure(topic, queue, settings);
  const filterPolicy = { order: { kind: ["sale"] } };
  // A new one would look at the attributes.
  const refused = { code: "invalid_filter_policy", details: [{ path: "filterPolicy.order" }] };
  await expect(ensure({ filterPolicy })).rejects.toMatchObject(refused);
  const created = await ensure({ filterPolicy, filterPolicyScope: "MessageBody" });
  await expect(ensure({ filterPolicy })).resolves.toEqual(created);
  const other = { order: { kind: ["refund"] } };
  const changed = { ...created, filterPolicy: other };
  await expect(ensure({ filterPolicy: other })).resolves.toEqual(changed);
  await expect(ensure({ filterPolicy: { order: { kind: [] } } })).rejects.toMatchObject({
    code: "invalid_filter_policy",
    details: [{ path: "filterPolicy.order.kind" }],
  });
  await expect(ensure({})).resolves.toEqual(changed);
});

test("where a subscription begins counts for a new one only, also when its archive has ended since", async () => {
  const { topic, queue } = await topicAndQueue({ days: 1 });
  const ensure = (settings: NewSubscriptionSettings) =>
    admin.subscriptions.ensure(topic, queue, settings);
  const replayFrom = new Date(Date.now() - 3_600_000);
  const gone = "01923e6a-0000-7000-8000-000000000000";
  await expect(ensure({ replayFrom: gone })).rejects.toMatchObject({ code: "message_not_found" });
  const created = await ensure({ replayFrom });
  await expect(ensure({ replayFrom: gone })).resolves.toEqual(created);
  await admin.topics.update(topic, { archive: null });
  await expect(ensure({ replayFrom })).resolves.toEqual(created);
  const changed = { ...created, rawDelivery: false };
  await expect(ensure({ replayFrom, rawDelivery: false })).resolves.toEqual(changed);
  await expect(ensure({ replayFrom: "yesterday" })).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "replayFrom" }],
  });
  await admin.subscriptions.delete(created.id);
  await expect(ensure({ replayFrom })).rejects.toMatchObject({ code: "topic_not_archived" });
});

test("a setting that needs another one is taken by a queue that has that", async () => {
  const name = unique("billing") + ".fifo";
  const limit = { fifoThroughputLimit: "perMessageGroupId" } as const;
  const refused = { code: "invalid_request", details: [{ path: "fifoThroughputLimit" }] };
  await expect(admin.queues.ensure(name, limit)).rejects.toMatchObject(refused);
  const created = await admin.queues.ensure(name, { ...limit, deduplicationScope: "messageGroup" });
  await expect(admin.queues.ensure(name, { ...limit, fifo: true })).resolves.toEqual(created);
  const changed = { ...created, visibilityTimeout: 7 };
  await expect(admin.queues.ensure(name, { ...limit, visibilityTimeout: 7 })).resolves.toEqual(
    changed,
  );
});

test("another kind than a queue has by its name is refused, also when it is there", async () => {
  const { queue } = await topicAndQueue();
  const refused = { code: "invalid_request", details: [{ path: "fifo" }] };
  await expect(admin.queues.ensure(queue, { fifo: true, delay: 5 })).rejects.toMatchObject(refused);
  await expect(admin.queues.get(queue)).resolves.toMatchObject({ delay: 0 });
});

test("what is ensured with the settings of another one gets those, and stays what it is, also when it is there", async () => {
  const [like, mine] = [await topicAndQueue(), await topicAndQueue()];
  const { createdAt: _1, ...queueSettings } = await admin.queues.update(like.queue, { delay: 7 });
  const queue = { name: mine.queue, delay: 7 };
  await expect(admin.queues.ensure(mine.queue, queueSettings)).resolves.toMatchObject(queue);

  const tags = { team: "shop" };
  const { createdAt: _2, ...topicSettings } = await admin.topics.update(like.topic, { tags });
  const topic = { name: mine.topic, tags };
  await expect(admin.topics.ensure(mine.topic, topicSettings)).resolves.toMatchObject(topic);

  const made = await admin.subscribe(like.topic, like.queue, { rawDelivery: false });
  const { id: _3, topic: _4, queueDeleted: _5, createdAt: _6, ...settings } = made;
  const { id } = await admin.subscribe(mine.topic, mine.queue);
  const ensured = admin.subscriptions.ensure(mine.topic, mine.queue, settings);
  await expect(ensured).resolves.toMatchObject({ id, queue: mine.queue, rawDelivery: false });
});

describe("what ends between the look at it and its change is created anew", () => {
  const createdAt = "2026-01-01T00:00:00.000Z";
  const subscription = { id: "s", topic: "orders", queue: "billing", createdAt };

  test.each([
    ["queue", "PATCH", (a: typeof admin) => a.queues.ensure("billing", { delay: 5 })],
    ["queue", "GET", (a: typeof admin) => a.queues.ensure("billing")],
    ["topic", "PATCH", (a: typeof admin) => a.topics.ensure("orders", { archive: null })],
    ["topic", "GET", (a: typeof admin) => a.topics.ensure("orders")],
  ] as const)("a %s, looked at by a %s", async (kind, method, ensure) => {
    await using server = await scriptedServer(
      refusal(409, `${kind}_exists`),
      refusal(404, `${kind}_not_found`),
      json(201, { name: "it", createdAt }),
    );
    const ensured = await ensure(createAdmin(connect({ url: server.url })));
    expect(ensured).toEqual({ name: "it", createdAt: new Date(createdAt) });
    expect(server.seen.map((seen) => seen.method)).toEqual(["POST", method, "POST"]);
  });

  test("a subscription", async () => {
    await using server = await scriptedServer(
      refusal(409, "subscription_exists"),
      json(200, { subscriptions: [subscription] }),
      refusal(404, "subscription_not_found"),
      json(201, { ...subscription, id: "new" }),
    );
    const { subscriptions } = createAdmin(connect({ url: server.url }));
    const ensured = await subscriptions.ensure("orders", "billing", { rawDelivery: false });
    expect(ensured).toMatchObject({ id: "new" });
    const methods = server.seen.map(({ method }) => method);
    expect(methods).toEqual(["POST", "GET", "PATCH", "POST"]);
  });
});
