import { rotateEvents, type Trace } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { until } from "./interleaving.ts";

const broker = await Broker.start();
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

test("x", async () => {
  const a = await broker.newQueue();
  const b = await broker.newQueue();
  const topic = await broker.newTopic([a, b]);
  const [id = ""] = await client.publish(topic, ["m", "n"]);
  await until(async () => (await broker.waitingBatches()).length === 0);
  await client.acknowledge(a, await client.receive(a));
  await client.receive(b);
  console.log(JSON.stringify(await broker.engine.trace(ACCOUNT, id), null, 1));
});
