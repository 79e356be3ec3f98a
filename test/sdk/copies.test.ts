import { connect, createAdmin, json, queue, topic } from "@sluice/client";
import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { countsOf, empty, eventually, noting } from "./consumer-setup.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;
beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** A dead-letter queue that holds one message twice: by way of two queues of one topic. */
async function twice({ visibilityTimeout }: { visibilityTimeout: number }) {
  const admin = createAdmin(connection);
  const dead = queue(unique("dead"), json<number>());
  const [one, other] = [
    queue(unique("one"), json<number>()),
    queue(unique("other"), json<number>()),
  ];
  const numbers = topic(unique("numbers"), json<number>());
  await admin.queues.create(dead, { visibilityTimeout });
  await admin.topics.create(numbers);
  for (const source of [one, other]) {
    await admin.queues.create(source, {
      redrive: { deadLetterQueue: dead.name, maxReceiveCount: 1 },
    });
    await admin.subscribe(numbers, source);
  }
  await createProducer(connection).publish(numbers, 1);
  for (const [source, reason] of [
    [one, "one"],
    [other, "other"],
  ] as const) {
    for await (const message of createConsumer(connection, source)) {
      await message.release({ reason });
      break;
    }
    // The next receive finds that it was received as often as it may be.
    const path = `/v1/queues/${source.name}/receive`;
    await connection.request({ method: "POST", path, body: { wait: 0 } });
  }
  expect(await countsOf(connection, dead)).toMatchObject({ visible: 2 });
  return dead;
}

test.each(["one", "other"])(
  "a message that is in a queue twice, and is handled too late as it came from %s, is still to be handled as it came from the other",
  async (late) => {
    const dead = await twice({ visibilityTimeout: 1 });
    const { options } = noting({ concurrency: 2, autoExtend: false, wait: 1, backoff: () => 0 });
    const consumer = createConsumer(connection, dead, options);
    const succeeded = new Set<string>();
    let failures = 0;
    const running = consumer.run(async ({ failureReason: from = "" }) => {
      await pause(from === late ? 1_500 : 2_500);
      if (from !== late && failures === 0) {
        failures += 1;
        throw new Error("not yet");
      }
      succeeded.add(from);
    });
    await eventually(async () => expect(await countsOf(connection, dead)).toEqual(empty), 45_000);
    await consumer.stop();
    await running;
    expect(failures).toBe(1);
    expect([...succeeded].sort()).toEqual(["one", "other"]);
  },
);

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
