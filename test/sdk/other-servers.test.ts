import { connect, createAdmin, queue, topic } from "@sluice/client";
import type { Admin } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { expect, test } from "vitest";
import { codeOf, eventually, noting } from "./consumer-setup.ts";
import { json, scriptedServer, type Step } from "./scripted-server.ts";

const empty: Step = (response) => void response.writeHead(200).end();

/** What another server, or something in between, may say to anything: that all is fine. */
const answers: [string, Step][] = [
  ["an object", json(200, {})],
  ["null", json(200, null)],
  ["nothing", empty],
];

const calls: [string, (admin: Admin) => Promise<unknown>][] = [
  ["topics.create", ({ topics }) => topics.create("t")],
  ["topics.get", ({ topics }) => topics.get("t")],
  ["topics.update", ({ topics }) => topics.update("t", { maxMessageSize: 2_000 })],
  ["topics.list", ({ topics }) => all(topics.list())],
  ["queues.create", ({ queues }) => queues.create("q")],
  ["queues.get", ({ queues }) => queues.get("q")],
  ["queues.pause", ({ queues }) => queues.pause("q")],
  ["queues.purge", ({ queues }) => queues.purge("q")],
  ["queues.peek", ({ queues }) => all(queues.peek("q"))],
  ["queues.redrives.start", ({ queues }) => queues.redrives.start("q")],
  ["queues.redrives.get", ({ queues }) => queues.redrives.get("q", "r")],
  ["queues.redrives.list", ({ queues }) => queues.redrives.list("q")],
  ["queues.redrives.cancel", ({ queues }) => queues.redrives.cancel("q", "r")],
  ["subscriptions.create", ({ subscriptions }) => subscriptions.create("t", "q")],
  ["subscriptions.get", ({ subscriptions }) => subscriptions.get("s")],
  ["subscriptions.update", ({ subscriptions }) => subscriptions.update("s", { rawDelivery: true })],
  ["subscriptions.match", ({ subscriptions }) => subscriptions.match("t", { body: "m" })],
  ["subscriptions.matchArchived", ({ subscriptions }) => subscriptions.matchArchived("t", 1)],
  ["subscriptions.replays.list", ({ subscriptions: { replays } }) => replays.list("s")],
  ["subscriptions.replays.get", ({ subscriptions: { replays } }) => replays.get("s", "r")],
  ["messages.trace", ({ messages }) => messages.trace("m")],
];

test.each(answers)(
  "a call that is answered with %s has not reached Sluice, and says so",
  async (_, step) => {
    await using server = await scriptedServer(step);
    const connection = connect({ url: server.url });
    for (const [name, make] of calls) {
      await expect(make(createAdmin(connection)), name).rejects.toMatchObject({
        code: "unexpected_response",
        call: expect.stringMatching(new RegExp(`^admin.${name} \\(`)),
      });
    }
    await expect(createProducer(connection).publish(topic("t"), "m")).rejects.toMatchObject({
      code: "unexpected_response",
      call: "producer.publish (POST /v1/topics/t/messages)",
    });
  },
);

test.each(
  answers.flatMap(([said, step]) => [undefined, 30].map((time) => [said, time, step] as const)),
)(
  "a consumer whose receives are answered with %s goes on, and tells of it (visibilityTimeout: %s)",
  async (_, visibilityTimeout, step) => {
    await using server = await scriptedServer(step);
    const { failures, options } = noting(
      visibilityTimeout === undefined ? {} : { visibilityTimeout },
    );
    await using consumer = createConsumer(connect({ url: server.url }), queue("q"), options);
    const running = consumer.run(() => {});
    await eventually(() => expect(failures.length).toBeGreaterThan(1));
    expect(new Set(failures.map(codeOf))).toEqual(new Set(["unexpected_response"]));
    expect(consumer.state).toBe("reconnecting");
    await consumer.stop();
    await running;
  },
);

async function all(list: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of list) items.push(item);
  return items;
}
