import { connect, createAdmin, json, queue, topic } from "@sluice/client";
import type { SluiceError } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { expect, test } from "vitest";
import { z } from "zod";
import { json as answer, refusal, scriptedServer } from "./scripted-server.ts";

// What types refuse, for callers without them.
const connection = connect({ url: "http://127.0.0.1:1", retry: false });
const orders = topic("orders", z.object({ id: z.string() }));
const billing = queue("billing", orders);
const any = (value: unknown) => value as never;

test.each<[string, () => unknown, string]>([
  ["an address alone", () => connect(any("http://127.0.0.1:1")), 'expected { url: "http://..." }'],
  ["a URL alone", () => connect(any(new URL("http://127.0.0.1:1"))), 'expected { url: "http://'],
  ["no address", () => connect(any(undefined)), "expected { url:"],
  [
    "a time out of the environment, which is text",
    () => connect({ url: "http://127.0.0.1:1", timeoutMs: any("5000") }),
    'timeoutMs: expected milliseconds above 0, got "5000"',
  ],
  [
    "the same of a budget",
    () => connect({ url: "http://127.0.0.1:1", retry: { budgetMs: any("5000") } }),
    'retry.budgetMs: expected milliseconds from 0, got "5000"',
  ],
  ["options where a connection is to be", () => createAdmin(any({ url: "x" })), "connect({ url })"],
  ["the same of a producer", () => createProducer(any({ url: "x" })), "connect({ url })"],
  ["the same of a consumer", () => createConsumer(any({}), billing), "connect({ url })"],
  ["a topic where a queue is to be", () => createConsumer(connection, any(orders)), 'queue("...")'],
  ["a schema of an older kind", () => queue("q", any({ parse: () => 1 })), "Standard Schema"],
  [
    "text for a schema",
    () => topic("t", any("schema")),
    'Schema (Zod 3.24 or later, Valibot 1, ArkType 2 …), got "schema"',
  ],
  ["json without its parentheses", () => queue("q", any(json)), "got the function json"],
  ["null for a schema", () => queue("q", any(null)), "got null"],
])("%s is refused, and what is expected told", (_, call, told) => {
  const message = expect.stringContaining(told) as string;
  expect(call).toThrow(expect.objectContaining({ code: "invalid_request", message }));
});

test.each<[string, () => Promise<unknown>, string]>([
  [
    "a queue for a topic",
    () => createAdmin(connection).subscribe(any(billing), any(orders)),
    'expected a topic, got the queue "billing"',
  ],
  [
    "a topic for a queue",
    () => createAdmin(connection).queues.get(any(orders)),
    'expected a queue, got the topic "orders"',
  ],
  [
    "one payload where many are to be",
    () => createProducer(connection).publishAll(orders, any({ id: "1" })),
    "expected an array, got object",
  ],
  [
    "a date that is none, as of a text that is no time,",
    () => createAdmin(connection).subscriptions.replays.start("s", { from: new Date("noon") }),
    "Option from: expected a time or the id of a message, got null",
  ],
  [
    "a number for the end of a replay",
    () =>
      createAdmin(connection).subscriptions.replays.start("s", { from: "id", to: any(17_000_000) }),
    "Option to: expected a time or the id of a message, got 17000000",
  ],
  [
    "no date for where a subscription begins",
    () => createAdmin(connection).subscribe("t", "q", { replayFrom: new Date(NaN) }),
    "Option replayFrom: expected a time or the id of a message, got null",
  ],
])("%s is refused, and what came told", async (_, call, told) => {
  const message = expect.stringContaining(told) as string;
  await expect(call()).rejects.toMatchObject({ code: "invalid_request", message });
});

test.each([
  [
    "queues.list",
    () => createAdmin(connection).queues.list(any({ limit: 1 })),
    "prefix, pageSize, signal",
  ],
  [
    "topics.list",
    () => createAdmin(connection).topics.list(any({ limit: 1 })),
    "prefix, pageSize, signal",
  ],
  [
    "subscriptions.list",
    () => createAdmin(connection).subscriptions.list(any({ limit: 1 })),
    "topic, pageSize, signal",
  ],
  [
    "queues.peek",
    () => createAdmin(connection).queues.peek("q", any({ limit: 1 })),
    "order, state, search, pageSize, signal",
  ],
])("%s takes no option that there is not", async (_, list, only) => {
  const message = `there is no such option, only ${only}`;
  await expect(list().next()).rejects.toMatchObject({ details: [{ path: "limit", message }] });
});

test("what the server says of a list is in the words of its options", async () => {
  const details = [
    { path: "query.limit", message: "too big" },
    { path: "query.prefix", message: "too long" },
  ];
  const error = {
    code: "invalid_request",
    message: "query.limit: too big; query.prefix: too long",
    details,
  };
  await using server = await scriptedServer(answer(400, { error }));
  const { queues } = createAdmin(connect({ url: server.url }));
  await expect(queues.list({ pageSize: 5_000 }).next()).rejects.toMatchObject({
    message: "pageSize: too big; prefix: too long",
    details: [{ path: "pageSize" }, { path: "prefix" }],
    call: "admin.queues.list (GET /v1/queues)",
  });
});

test("a queue may be declared to carry what another one does", () => {
  const other = queue("billing-eu", billing);
  expect(other.format).toBe(billing.format);
});

test("the stack of an error leads to whoever made the call", async () => {
  await using server = await scriptedServer(refusal(404, "queue_not_found"));
  const there = connect({ url: server.url });
  const producer = createProducer(there, { batching: false });
  const calls = {
    async gettingIt() {
      await createAdmin(there).queues.get("q");
    },
    async publishingIt() {
      await producer.publish(orders, { id: "1" });
    },
    async publishingAll() {
      await createProducer(there).publishAll(orders, [{ id: "1" }]);
    },
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await call().catch((thrown: unknown) => thrown as SluiceError);
    expect(error?.stack).toContain(name);
  }
});
