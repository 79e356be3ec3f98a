import { connect, json, queue, topic } from "@sluice/client";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { createProducer } from "./producer.ts";
import type { PublishedMessage } from "./publish-error.ts";

const orders = topic("orders", z.object({ id: z.string(), total: z.number().default(0) }));
const billing = queue("billing", orders);
const notes = topic("notes");

/** A connection that must not be used: validation comes before the network. */
const offline = connect({
  url: "http://127.0.0.1:1",
  fetch: () => Promise.reject(new Error("the network was used")),
  retry: false,
});
const producer = createProducer(offline);

test("a payload that does not match is refused before the network, saying where", async () => {
  await expect(producer.publish(orders, { id: 7 as never })).rejects.toMatchObject({
    code: "schema_mismatch",
    details: [{ path: "payload.id", message: expect.stringContaining("string") }],
  });
  await expect(
    producer.sendAll(billing, [{ id: "a" }, { id: "b", total: "x" as never }]),
  ).rejects.toMatchObject({
    code: "schema_mismatch",
    details: [{ path: "payloads.1.total", message: expect.stringContaining("number") }],
  });
});

test("bad attributes, keys and options are refused before the network", async () => {
  await expect(
    producer.publish(notes, "x", { attributes: { load: Number.NaN } }),
  ).rejects.toMatchObject({
    code: "invalid_attribute",
  });
  const each = (_: string, index: number) => ({ attributes: { load: index === 1 ? NaN : 1 } });
  await expect(producer.publishAll(notes, ["x", "y"], { each })).rejects.toMatchObject({
    message: expect.stringMatching(/^Attribute load of payloads\.1: /),
    details: [{ path: "payloads.1.attributes.load" }],
  });
  await expect(producer.publish(notes, "x".repeat(5_000_000))).rejects.toMatchObject({
    code: "message_too_large",
    details: [{ path: "payload" }],
  });
  await expect(producer.publish(notes, "x", { idempotencyKey: "two words" })).rejects.toMatchObject(
    {
      code: "invalid_request",
      details: [{ path: "idempotencyKey", message: expect.any(String) }],
    },
  );
  expect(() => createProducer(offline, { batching: { maxMessages: 1_001 } })).toThrow(
    /batching.maxMessages/,
  );
});

test("what JSON does not carry is refused as an option, saying of which message", async () => {
  const each = (_: string, index: number) => ({ groupId: index === 1 ? (7n as never) : "g" });
  await expect(producer.publishAll(notes, ["x", "y"], { each } as never)).rejects.toMatchObject({
    code: "invalid_request",
    message: expect.stringMatching(/^The options of payloads\.1 cannot be sent: .*BigInt/),
    outcomeUnknown: false,
  });
  await expect(producer.publish(notes, "x", { subject: 7n as never })).rejects.toMatchObject({
    code: "invalid_request",
    message: expect.stringMatching(/^The options of payload cannot be sent: .*BigInt/),
  });
});

test("unknown options are refused by their names, out of variables too", async () => {
  const unknown = (path: string) => ({
    code: "invalid_request",
    details: [{ path, message: expect.stringContaining("no such option") as string }],
  });
  const options = { delaySeconds: 60, groupId: "g" };
  await expect(producer.send(billing, { id: "a" }, options)).rejects.toMatchObject(
    unknown("delaySeconds"),
  );
  await expect(producer.sendAll(billing, [{ id: "a" }], options)).rejects.toMatchObject(
    unknown("delaySeconds"),
  );
  await expect(
    producer.sendAll(billing, [{ id: "a" }], { each: () => options }),
  ).rejects.toMatchObject(unknown("each.delaySeconds"));
  const common = { each: () => ({ groupId: "g", idempotencyKey: "k" }) };
  await expect(producer.publishAll(notes, ["x"], common)).rejects.toMatchObject(
    unknown("each.idempotencyKey"),
  );
  const delayed = { delay: 5, groupId: "g" };
  await expect(producer.publish(notes, "x", delayed)).rejects.toMatchObject(unknown("delay"));
  const batched = { batching: { maxMessage: 5, maxDelayMs: 1 } };
  expect(() => createProducer(offline, batched)).toThrow(/batching\.maxMessage:/);
  const unbatched = { batch: false, batching: false };
  expect(() => createProducer(offline, unbatched)).toThrow(/Option batch:/);
});

test("a name that nobody declared is refused", async () => {
  const refused = {
    code: "invalid_request",
    message: expect.stringContaining('got "notes"') as string,
  };
  const name = "notes" as unknown as typeof notes;
  await expect(producer.publish(name, "x")).rejects.toMatchObject(refused);
  await expect(producer.publishAll(name, ["x"])).rejects.toMatchObject(refused);
  const nothing = undefined as unknown as typeof notes;
  await expect(producer.publish(nothing, "x")).rejects.toMatchObject({ code: "invalid_request" });
});

test("no payloads are no call", async () => {
  await expect(producer.publishAll(notes, [])).resolves.toEqual([]);
});

test("a closed producer takes nothing more", async () => {
  const closed = createProducer(offline);
  await closed.close();
  await expect(closed.publish(notes, "x")).rejects.toMatchObject({ code: "closed" });
});

test.each([-1, Number.NaN, "soon", "5", null])("a drain of %s ms is refused", (drainTimeoutMs) => {
  const make = () => createProducer(offline, { drainTimeoutMs: drainTimeoutMs as never });
  expect(make).toThrow(expect.objectContaining({ code: "invalid_request" }));
});

test("types: what is published is what the schema takes", () => {
  const check = () => {
    expectTypeOf(producer.publish(orders, { id: "a" })).toEqualTypeOf<Promise<PublishedMessage>>();
    expectTypeOf(producer.publishAll(orders, [{ id: "a", total: 2 }])).toEqualTypeOf<
      Promise<PublishedMessage[]>
    >();
    void producer.publishAll(orders, [{ id: "a" }], {
      each: (order, index) => {
        expectTypeOf(order).toEqualTypeOf<{ id: string; total?: number | undefined }>();
        return {
          subject: `${order.id}/${index}`,
          attributes: { region: "eu", size: 3, raw: new Uint8Array() },
        };
      },
    });
    void producer.send(billing, { id: "a" }, { delay: 30 });
    void producer.publish(topic("any", json()), { whatever: [1] });
    // @ts-expect-error a wrong type
    void producer.publish(orders, { id: 7 });
    // @ts-expect-error a missing field
    void producer.publish(orders, { total: 7 });
    // @ts-expect-error an unknown field
    void producer.publish(orders, { id: "a", totl: 7 });
    // @ts-expect-error one wrong among many
    void producer.publishAll(orders, [{ id: "a" }, { id: 7 }]);
    // @ts-expect-error an object where no schema is declared
    void producer.publish(notes, { id: "a" });
    // @ts-expect-error a queue is sent to, not published to
    void producer.publish(billing, { id: "a" });
    // @ts-expect-error a topic is published to, not sent to
    void producer.send(orders, { id: "a" });
    // @ts-expect-error only queues delay
    void producer.publish(orders, { id: "a" }, { delay: 30 });
    // @ts-expect-error only topics have subjects
    void producer.send(billing, { id: "a" }, { subject: "x" });
    // @ts-expect-error no booleans among attributes
    void producer.publish(orders, { id: "a" }, { attributes: { on: true } });
  };
  expect(check).toBeTypeOf("function");
});

test("types: what goes to a FIFO topic or queue has a group and no delay", () => {
  const events = topic("events.fifo", json<{ n: number }>());
  const payments = queue("payments.fifo");
  const unknownName = queue("payments" as string);
  const inGroup = { groupId: "g" };
  const check = () => {
    void producer.publish(events, { n: 1 }, { groupId: "g", subject: "s", idempotencyKey: "k" });
    void producer.publishAll(events, [{ n: 1 }], inGroup);
    void producer.publishAll(events, [{ n: 1 }], {
      each: (payload, index) => {
        expectTypeOf(payload).toEqualTypeOf<{ n: number }>();
        return { groupId: `${payload.n}`, deduplicationId: `${index}` };
      },
    });
    void producer.sendAll(payments, ["x"], { ...inGroup, each: () => undefined });
    void producer.send(payments, "x", { groupId: "g", deduplicationId: "d" });
    // Where the name is known when it runs only, it is the server that says so.
    void producer.send(unknownName, "x");
    void producer.send(unknownName, "x", { delay: 3 });
    void producer.send(queue("payments.fifo.not-really"), "x", { delay: 3 });
    // @ts-expect-error no group
    void producer.publish(events, { n: 1 });
    // @ts-expect-error no group
    void producer.publish(events, { n: 1 }, { subject: "s" });
    // @ts-expect-error no group
    void producer.send(payments, "x");
    // @ts-expect-error no group, whatever the base of the name is
    void producer.send(queue(`${Math.random()}.fifo`), "x");
    // @ts-expect-error a delay
    void producer.send(payments, "x", { groupId: "g", delay: 3 });
    // @ts-expect-error no group
    void producer.publishAll(events, [{ n: 1 }]);
    // @ts-expect-error no group
    void producer.sendAll(payments, ["x"], {});
    // @ts-expect-error no group for some
    void producer.sendAll(payments, ["x"], { each: () => undefined });
    // @ts-expect-error no group for any
    void producer.publishAll(events, [{ n: 1 }], { each: () => ({ subject: "s" }) });
    // @ts-expect-error a delay for each
    void producer.sendAll(payments, ["x"], { each: () => ({ groupId: "g", delay: 3 }) });
    // @ts-expect-error a queue that is fed by a topic has a name of its own
    void producer.send(queue("billing.fifo", events), { n: 1 });
    // @ts-expect-error a schema changes nothing about it
    void producer.send(queue("billing.fifo", z.object({ n: z.number() })), { n: 1 });
    // @ts-expect-error what it takes is checked all the same
    void producer.publish(events, { n: "1" }, inGroup);
  };
  expect(check).toBeTypeOf("function");
});
