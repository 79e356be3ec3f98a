import { connect, createAdmin, queue, topic } from "@sluice/client";
import type { Connection, NewQueueSettings } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { ReceivedMessage } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { countsOf, empty, eventually, gate, noting, range } from "./consumer-setup.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

const step = z.object({ group: z.string(), number: z.int() });

/** A FIFO queue that holds so many numbered steps of each group. */
async function stepsOf(groups: readonly string[], count: number, settings: NewQueueSettings = {}) {
  const steps = queue(unique("steps") + ".fifo", step);
  await createAdmin(connection).queues.create(steps, settings);
  const payloads = range(count).flatMap((number) => groups.map((group) => ({ group, number })));
  await createProducer(connection).sendAll(steps, payloads, {
    each: ({ group, number }) => ({ groupId: group, deduplicationId: `${group}-${number}` }),
  });
  return steps;
}

test("a duplicate is answered with the first message, and a peek shows one", async () => {
  const orders = queue(unique("orders") + ".fifo");
  const { queues } = createAdmin(connection);
  expect(await queues.create(orders)).toMatchObject({ fifo: true, deduplicationScope: "queue" });
  const producer = createProducer(connection);
  const options = { groupId: "a", deduplicationId: "d" };
  const first = await producer.send(orders, "one", options);
  expect(first.sequenceNumber).toMatch(/^\d{20}$/);
  expect(await producer.send(orders, "two", options)).toEqual(first);
  const shown = [];
  for await (const message of queues.peek(orders)) shown.push(message);
  expect(shown).toMatchObject([{ body: "one", ...options, sequenceNumber: first.sequenceNumber }]);
});

describe("a consumer of a FIFO queue", () => {
  test("handles each group in order and one at a time, and several groups at once", async () => {
    const groups = ["a", "b", "c", "d"];
    const steps = await stepsOf(groups, 25);
    const { failures, options } = noting({ concurrency: 8, batchSize: 20, receivers: 2 });
    const seen: Record<string, number[]> = {};
    const running = new Set<string>();
    let most = 0;
    await using consumer = createConsumer(connection, steps, options);
    void consumer.run(async ({ payload: { group, number }, groupId, sequenceNumber }) => {
      expect(running.has(group)).toBe(false);
      expect([groupId, sequenceNumber]).toEqual([group, expect.stringMatching(/^\d{20}$/)]);
      running.add(group);
      most = Math.max(most, running.size);
      await new Promise<void>((resolve) => setImmediate(resolve));
      (seen[group] ??= []).push(number);
      running.delete(group);
    });
    await eventually(() => expect(Object.values(seen).flat()).toHaveLength(100));
    await consumer.stop();
    for (const group of groups) expect(seen[group]).toEqual(range(25));
    expect(most).toBeGreaterThan(1);
    expect(failures).toEqual([]);
    expect(await countsOf(connection, steps)).toEqual(empty);
  });

  test("is held up by a group that has much to do for no other", async () => {
    const steps = await stepsOf(["busy"], 100);
    const { options } = noting({ concurrency: 3, prefetch: 3 });
    await using consumer = createConsumer(connection, steps, options);
    const { open, opened } = gate();
    const begun: string[] = [];
    void consumer.run(async ({ payload: { group } }) => {
      begun.push(group);
      await opened;
    });
    await eventually(() => expect(begun).toEqual(["busy"]));
    const others = ["b", "c"].map((group) => ({ group, number: 0 }));
    await createProducer(connection).sendAll(steps, others, {
      each: ({ group }) => ({ groupId: group, deduplicationId: group }),
    });
    await eventually(() => expect(begun.sort()).toEqual(["b", "busy", "c"]));
    open();
    await consumer.stop();
  });

  test.each(["fails", "is released"])(
    "handles nothing of a group before a message of it that %s",
    async (how) => {
      const steps = await stepsOf(["a", "b"], 6);
      const { options } = noting({ concurrency: 4, backoff: () => 0 });
      const seen: Record<string, number[]> = { a: [], b: [] };
      let failed = 0;
      await using consumer = createConsumer(connection, steps, options);
      void consumer.run(async (message) => {
        const { group, number } = message.payload;
        if (group === "a" && number === 2 && failed < 2) {
          failed += 1;
          if (how === "fails") throw new Error("not yet");
          return await message.release();
        }
        seen[group]!.push(number);
      });
      await eventually(() => expect(Object.values(seen).flat()).toHaveLength(12));
      await consumer.stop();
      expect(seen).toEqual({ a: range(6), b: range(6) });
      expect(await countsOf(connection, steps)).toEqual(empty);
    },
  );

  test.each(["handled one by one", "read in batches"])(
    "handles all that comes after a message that can never be %s; that alone becomes a dead letter",
    async (how) => {
      const { queues } = createAdmin(connection);
      const dead = queue(unique("dead") + ".fifo");
      await queues.create(dead);
      const redrive = { deadLetterQueue: dead.name, maxReceiveCount: 3 };
      const { name } = await stepsOf(["a"], 6, { redrive });
      const inBatches = how === "read in batches";
      const readable = step.refine(({ number }) => number > 0 || !inBatches);
      const { options } = noting({ concurrency: 4, backoff: () => 0 });
      await using consumer = createConsumer(connection, queue(name, readable), options);
      const seen: number[] = [];
      const handle = ({ payload: { number } }: ReceivedMessage<z.infer<typeof step>>) => {
        if (number === 0) throw new Error("never");
        seen.push(number);
      };
      if (inBatches) void consumer.runBatches((messages) => messages.forEach(handle));
      else void consumer.run(handle);
      await eventually(() => expect(seen).toHaveLength(5));
      await consumer.stop();
      expect(seen).toEqual([1, 2, 3, 4, 5]);
      expect(await countsOf(connection, { name })).toEqual(empty);
      expect(await countsOf(connection, dead)).toEqual({ ...empty, visible: 1 });
    },
  );

  test("in batches keeps what comes after a body that cannot be read for later", async () => {
    const steps = await stepsOf(["a"], 2);
    const text = queue(steps.name);
    const producer = createProducer(connection);
    await producer.send(text, "no step", { groupId: "a", deduplicationId: "bad" });
    await producer.send(steps, { group: "a", number: 2 }, { groupId: "a", deduplicationId: "2" });
    const { options, failures } = noting({ backoff: () => 60 });
    const seen: number[] = [];
    await using consumer = createConsumer(connection, steps, options);
    void consumer.runBatches((messages) => {
      seen.push(...messages.map(({ payload }) => payload.number));
    });
    await eventually(() => expect(failures).toHaveLength(1));
    await eventually(async () =>
      expect(await countsOf(connection, steps)).toEqual({ visible: 1, inFlight: 1, delayed: 0 }),
    );
    await consumer.stop();
    expect(seen).toEqual([0, 1]);
  });
});

describe("a FIFO topic", () => {
  /** A FIFO topic of steps with an archive, and a FIFO queue that is subscribed to it. */
  async function stepTopic() {
    const admin = createAdmin(connection);
    const topicOfSteps = topic(unique("steps") + ".fifo", step);
    const steps = queue(unique("steps") + ".fifo", topicOfSteps);
    const created = await admin.topics.create(topicOfSteps, { archive: { days: 1 } });
    await admin.queues.create(steps);
    const { id } = await admin.subscribe(topicOfSteps, steps);
    return { created, topicOfSteps, steps, subscription: id };
  }

  /** What a consumer is handed, until it was so many; each with the mark of a replay. */
  async function handled(steps: Awaited<ReturnType<typeof stepTopic>>["steps"], count: number) {
    const seen: Record<string, number[]> = {};
    const marks = new Set<boolean>();
    const { options, failures } = noting({ concurrency: 4 });
    await using consumer = createConsumer(connection, steps, options);
    void consumer.run(({ payload: { group, number }, replayed }) => {
      (seen[group] ??= []).push(number);
      marks.add(replayed);
    });
    await eventually(() => expect(Object.values(seen).flat()).toHaveLength(count));
    await consumer.stop();
    expect(failures).toEqual([]);
    return { seen, marks: [...marks] };
  }

  test("hands each group on in order, each message once, and replays it", async () => {
    const { created, topicOfSteps, steps, subscription } = await stepTopic();
    expect(created).toMatchObject({ fifo: true, archive: { days: 1 } });
    const producer = createProducer(connection);
    const each = ({ group, number }: z.infer<typeof step>) => ({
      groupId: group,
      deduplicationId: `${group}-${number}`,
    });
    const payloads = range(30).flatMap((number) => ["a", "b"].map((group) => ({ group, number })));
    const published = await producer.publishAll(topicOfSteps, payloads, { each });
    const numbers = published.map(({ sequenceNumber }) => sequenceNumber ?? "");
    expect(numbers).toEqual([...new Set(numbers)].sort());
    const [first = { group: "", number: 0 }] = payloads;
    expect(await producer.publish(topicOfSteps, first, each(first))).toEqual(published[0]);
    const inOrder = { a: range(30), b: range(30) };
    expect(await handled(steps, 60)).toEqual({ seen: inOrder, marks: [false] });
    expect(await countsOf(connection, steps)).toEqual(empty);
    const { replays } = createAdmin(connection).subscriptions;
    await replays.start(subscription, { from: new Date(0) });
    expect(await handled(steps, 60)).toEqual({ seen: inOrder, marks: [true] });
    expect(await countsOf(connection, steps)).toEqual(empty);
  });

  test("refuses a message without a group or an id, and says which is missing", async () => {
    const { topicOfSteps } = await stepTopic();
    const producer = createProducer(connection);
    const payload = { group: "a", number: 1 };
    for (const [given, missing] of [
      [{ deduplicationId: "1" }, "groupId"],
      [{ groupId: "a" }, "deduplicationId"],
    ] as const)
      await expect(producer.publish(topicOfSteps, payload, given)).rejects.toMatchObject({
        code: "invalid_message",
        message: expect.stringContaining(missing),
      });
  });
});
