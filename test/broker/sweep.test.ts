import { createInProcessBus, InProcessHub } from "@sluice/bus";
import { connectDatabase, type Sql } from "@sluice/database";
import { beforeEach, describe, expect, test, vi } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { grouped } from "./fifo.ts";
import { holdDeliveries, holdWith, refuseSlices, until, untilBlocked } from "./interleaving.ts";

let broker: Broker;
beforeEach(async () => {
  // No announcement comes to the dispatcher: what arrives, a sweep has found.
  broker = await Broker.start({ dispatchers: 0, connectBus: loneliness() });
  return () => broker[Symbol.asyncDispose]();
});

const arrives = async (queue: string) => {
  await until(async () => (await broker.counts(queue)).visible > 0);
};

test("what has an order is looked for while the sweep of all other topics is at work", async () => {
  const [queue, fifoQueue] = [await broker.newQueue(), await broker.newQueue({ fifo: true })];
  const topic = await broker.newTopic([queue]);
  await broker.engine.topics.create(ACCOUNT, { name: "ordered.fifo", fifo: true });
  await broker.engine.subscribe(ACCOUNT, "ordered.fifo", fifoQueue);
  const held = await holdDeliveries(broker.sql);
  await broker.client().publish(topic, ["m"]);
  await broker.startDispatcher();
  await untilBlocked(broker.sql);
  await broker.client().publish("ordered.fifo", grouped("a", 1));
  await arrives(fifoQueue);
  await held.letGo();
  await arrives(queue);
});

test("what has waited for long is looked for also while there is something of the last seconds", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  const client = broker.client();
  await client.publish(topic, ["old"]);
  await broker.clock.advance(60);
  // The new one stays one of the last seconds: in ten of them the two would be found together.
  await broker.clock.stop();
  await client.publish(topic, ["new"]);
  await broker.clock.advance(1);
  // Somebody has the new one in hand, and does not come to an end with it.
  const held = await holdWith(
    broker.sql,
    "SELECT FROM outbox ORDER BY sent_at DESC LIMIT 1 FOR UPDATE",
  );
  await broker.startDispatcher();
  await arrives(queue);
  expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["old"]);
  await held.letGo();
  await arrives(queue);
});

test("what comes while the look for what has waited for long takes its time, and fails, is found by the next look at the last seconds", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  const database = connectDatabase({ url: broker.databaseUrl, pool: 2 });
  // As while something holds the xmin horizon, and it takes longer than a statement may.
  let isLooking = false;
  let giveUp = () => {};
  const tooLong = new Promise<never>((_, reject) => {
    giveUp = () => {
      reject(new Error("canceling statement due to statement timeout"));
    };
  });
  const sql = new Proxy(database.sql, {
    apply(target, self, call: Parameters<Sql>) {
      const [text, ...values] = call;
      if (!String(text).includes("FROM outbox") || !values.includes(null as never))
        return Reflect.apply(target, self, call) as unknown;
      isLooking = true;
      return tooLong;
    },
  });
  await broker.startDispatcher({ ...database, sql });
  await until(() => Promise.resolve(isLooking));
  await broker.client().publish(topic, ["m"]);
  await broker.clock.advance(20);
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + 20_000);
  giveUp();
  await arrives(queue).finally(() => {
    clock.mockRestore();
  });
  takenFailures();
});

describe("a batch that Postgres refuses", () => {
  // One that takes too long fails with the last of these.
  const codes = ["P0001", "23505", "57014"];

  test.each(codes)("keeps nobody else's from being swept (%s)", async (code) => {
    const [bad, good] = [await broker.newQueue(), await broker.newQueue()];
    const [badTopic, goodTopic] = [await broker.newTopic([bad]), await broker.newTopic([good])];
    const client = broker.client();
    const refusing = await refuseSlices(broker.sql, await broker.idOf(bad), code);
    await client.publish(goodTopic, ["before"]);
    await client.publish(badTopic, ["refused"]);
    await client.publish(goodTopic, ["after"]);
    await broker.clock.advance(1);
    await broker.startDispatcher();
    await until(async () => (await broker.counts(good)).visible === 2);
    expect(await broker.waitingBatches()).toHaveLength(1);
    await until(() => Promise.resolve(takenFailures().includes("fan-out")));
    await refusing.end();
    await arrives(bad);
    takenFailures();
  });

  test("keeps none of those that were announced with it", async () => {
    const hub = new InProcessHub();
    const members = [createInProcessBus(), createInProcessBus({ hub })];
    await using announced = await Broker.start({
      dispatchers: 0,
      connectBus: () => Promise.resolve(members.shift()!),
    });
    const [bad, good] = [await announced.newQueue(), await announced.newQueue()];
    const [badTopic, goodTopic] = [
      await announced.newTopic([bad]),
      await announced.newTopic([good]),
    ];
    const refusing = await refuseSlices(announced.sql, await announced.idOf(bad));
    await announced.client().publish(badTopic, ["refused"]);
    await announced.client().publish(goodTopic, ["m"]);
    // No sweep finds what was published at no time.
    await announced.sql`UPDATE outbox SET sent_at = 'infinity'`;
    await announced.startDispatcher();
    const bus = createInProcessBus({ hub });
    bus.announceBatches(await announced.waitingBatches());
    await until(async () => (await announced.counts(good)).visible === 1);
    await until(() => Promise.resolve(announced.failures.length > 0));
    await refusing.end();
    await until(async () => (await announced.counts(bad)).visible === 1);
    // It may have been tried more than once by then.
    const failed = announced.failures.splice(0).map(({ what }) => what);
    expect(new Set(failed)).toEqual(new Set(["fan-out"]));
    await bus.close();
  });

  test("keeps nobody else's from being swept, however many there are of them", async () => {
    const [bad, good] = [await broker.newQueue(), await broker.newQueue()];
    const [badTopic, goodTopic] = [await broker.newTopic([bad]), await broker.newTopic([good])];
    const client = broker.client();
    const refusing = await refuseSlices(broker.sql, await broker.idOf(bad));
    const refused = 150;
    for (let count = 0; count < refused; count += 1) await client.publish(badTopic, ["refused"]);
    await client.publish(goodTopic, ["m"]);
    await broker.clock.advance(1);
    await broker.startDispatcher();
    await arrives(good);
    await refusing.end();
    await until(async () => (await broker.counts(bad)).visible === refused);
    takenFailures();
  });
});

/** What went wrong so far, and may have. */
function takenFailures(): string[] {
  return broker.failures.splice(0).map(({ what }) => what);
}
