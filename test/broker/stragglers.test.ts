import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
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
