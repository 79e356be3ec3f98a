import { once } from "node:events";
import { connect as openSocket } from "node:net";

import {
  CreateQueueCommand,
  DeleteQueueCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { connect, queue, SluiceError, topic } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { bearer } from "@sluice/stack";

import { KIND, policies, type World } from "./world.ts";

/** One turn of something that services do all day; each makes what was not there before. */
export type Chore = (world: World) => Promise<void>;

/** Those that are done over and over, side by side. What is remembered of one of them for good adds up. */
export const chores: Readonly<Record<string, Chore>> = {
  batches,
  singles,
  passing,
  keys,
  groups,
  delayed,
  looks,
  redrives,
  replays,
  programs,
  hangUps,
  refused,
  strangers,
  aws,
};

/** Publishes as a busy producer does; the queues of the topic are consumed all the time. */
async function batches({ producer, lasting }: World): Promise<void> {
  const bodies = Array.from({ length: 50 }, (_, index) => `${"x".repeat(1_000)}${index}`);
  await producer.publishAll(topic(lasting("orders")), bodies);
}

/** One at a time, some of them large. */
async function singles({ producer, lasting, unique }: World): Promise<void> {
  const name = topic(lasting("orders"));
  const bodies = [64, 1_024, 16_384].map((length) => unique().repeat(length / 16));
  await Promise.all(bodies.map(async (body) => producer.publish(name, body)));
}

/** A topic, a queue and a subscription that come and go, with a message on its way through them. */
async function passing({ admin, producer, connection, unique }: World): Promise<void> {
  const name = unique();
  await admin.topics.create(name);
  await admin.queues.create(name);
  const [first, second] = policies;
  const { id } = await admin.subscribe(name, name, { filterPolicy: first });
  await admin.subscriptions.update(id, { filterPolicy: second });
  await producer.publish(topic(name), "one of them", { attributes: { kind: KIND } });
  const consumer = createConsumer(connection, queue(name));
  await consumer.run(() => void consumer.stop());
  await admin.queues.delete(name);
  await admin.topics.delete(name);
}

/** A call and its repeat. */
async function keys({ producer, lasting, unique }: World): Promise<void> {
  const idempotencyKey = unique();
  const name = queue(lasting("billing"));
  await producer.send(name, "once", { idempotencyKey });
  await producer.send(name, "once", { idempotencyKey });
}

/** Groups and deduplication ids that nobody had before. */
async function groups({ producer, lasting, unique }: World): Promise<void> {
  const bodies = Array.from({ length: 10 }, unique);
  await producer.sendAll(queue(lasting("groups.fifo")), bodies, {
    groupId: "",
    each: (body, index) => ({ groupId: `${body}-${index % 3}`, deduplicationId: body }),
  });
}

async function delayed({ admin, producer, lasting }: World): Promise<void> {
  const name = lasting("audit");
  await producer.send(queue(name), "soon", { delay: 1 });
  const { messageId } = await producer.send(queue(name), "never", { delay: 600 });
  await admin.queues.cancelDelayed(name, messageId);
}

/** What people and their dashboards look at. */
async function looks({ admin, producer, url, lasting }: World): Promise<void> {
  const { messageId } = await producer.publish(topic(lasting("orders")), "looked for");
  await admin.messages.trace(messageId);
  await admin.queues.get(lasting("search"));
  for await (const _ of admin.queues.peek(lasting("search"))) break;
  for await (const _ of admin.queues.list()) break;
  for (const path of ["/metrics", "/readyz", "/openapi.json", "/docs"])
    await (await fetch(url + path)).arrayBuffer();
}

/** A purge, and a redrive of a queue that has nothing. */
async function redrives({ admin, producer, unique }: World): Promise<void> {
  const name = unique();
  await admin.queues.create(name);
  await producer.send(queue(name), "purged");
  await admin.queues.purge(name);
  await admin.queues.redrives.start(name);
  await admin.queues.delete(name);
}

/** A new subscriber gets what its topic has of the last second. */
async function replays({ admin, lasting, unique }: World): Promise<void> {
  const name = unique();
  await admin.queues.create(name);
  const { id } = await admin.subscribe(lasting("orders"), name);
  const from = new Date(Date.now() - 1_000);
  const replay = await admin.subscriptions.replays.start(id, { from, to: new Date() });
  await admin.subscriptions.replays.finished(id, replay.id);
  await admin.queues.delete(name);
}

/** A program that starts, works for a moment and ends, with a connection of its own. */
async function programs({ url, headers, lasting }: World): Promise<void> {
  const connection = connect({ url, headers });
  const producer = createProducer(connection);
  const consumer = createConsumer(connection, queue(lasting("search")));
  const running = consumer.run(() => undefined);
  await producer.publish(topic(lasting("orders")), "from a program");
  await consumer.stop();
  await running;
  await producer.close();
}

/** Clients that go away: in a long poll, in the middle of a body, before an answer. */
async function hangUps(world: World): Promise<void> {
  const { lasting } = world;
  const path = `/v1/queues/${lasting("dead")}/receive`;
  const body = JSON.stringify({ maxMessages: 10, wait: 20 });
  await hangUp(world, `POST ${path}`, { body, length: body.length, after: 50 });
  await hangUp(world, `POST ${path}`, { body, length: 100_000, after: 50 });
  await hangUp(world, `GET /v1/queues`, { body: "", length: 0, after: 0 });
}

async function hangUp(
  { url, headers }: World,
  line: string,
  { body, length, after }: { body: string; length: number; after: number },
): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = openSocket(Number(port), hostname);
  await once(socket, "connect");
  const all = { host: hostname, "content-type": "application/json", ...headers };
  const fields = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `${line} HTTP/1.1\r\n${fields.join("")}content-length: ${length}\r\n\r\n`;
  socket.write(head + body);
  await new Promise((resolve) => setTimeout(resolve, after));
  socket.destroy();
}

/** Calls that cannot be: queues that are not there, JSON that is none, messages too large, handles of nothing. */
async function refused({ admin, url, headers, lasting, unique }: World): Promise<void> {
  const name = unique();
  await expectRefusal(admin.queues.get(name));
  await expectRefusal(admin.topics.get(name));
  const queuePath = `${url}/v1/queues/${lasting("audit")}`;
  const large = JSON.stringify({ messages: [{ body: "y".repeat(1.1e6) }] });
  const post = async (path: string, body: string, code: string) =>
    expectCode(
      await fetch(path, { method: "POST", headers: { ...JSON_TYPE, ...headers }, body }),
      code,
    );
  await post(`${queuePath}/messages`, `{"messages": [${name}`, "malformed_json");
  await post(`${queuePath}/messages`, large, "message_too_large");
  const handles = JSON.stringify({ receiptHandles: [name] });
  await post(`${queuePath}/ack`, handles, "receipt_handle_invalid");
  await post(`${url}/v1/${name}`, "{}", "route_not_found");
}

/** Somebody with a key that there never was; where nobody needs one, somebody in a queue that there never was. */
async function strangers({ url, headers, lasting, unique }: World): Promise<void> {
  const key = { id: `SLUICE${unique().replaceAll(/\W/g, "").padEnd(14, "X")}`, secret: "guessed" };
  const isGuarded = "authorization" in headers;
  const given = isGuarded ? bearer(key) : {};
  const answer = await fetch(`${url}/v1/queues/${lasting("nowhere")}`, { headers: given });
  await expectCode(answer, isGuarded ? "unauthenticated" : "queue_not_found");
}

const JSON_TYPE = { "content-type": "application/json" };

/** Makes sure that it is refused for what it is to be refused for. */
async function expectCode(response: Response, code: string): Promise<void> {
  const answer = await response.text();
  if (!answer.includes(`"${code}"`)) throw new Error(`${response.url}: ${answer.slice(0, 200)}`);
}

async function expectRefusal(call: Promise<unknown>): Promise<void> {
  await call.then(
    () => {
      throw new Error("what is not there was found");
    },
    (error: unknown) => {
      if (!(error instanceof SluiceError) || !error.code.endsWith("_not_found")) throw error;
    },
  );
}

/** The same by AWS' own client, a queue that comes and goes. */
async function aws({ sqs, unique }: World): Promise<void> {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: unique() }));
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "by AWS' client" }));
  await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }));
  await sqs.send(new DeleteQueueCommand({ QueueUrl }));
}
