import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { createAdmin } from "./admin/admin.ts";
import { connect } from "./connection.ts";
import { queue, topic } from "./declarations.ts";
import type {
  Payload,
  PayloadInput,
  QueueReference,
  TopicDeclaration,
  TopicReference,
} from "./declarations.ts";
import { json } from "./payload.ts";

describe("names", () => {
  test.each(["orders", "A-1_b", "x".repeat(256)])("%s is a topic's", (name) => {
    expect(topic(name).name).toBe(name);
  });

  test.each(["", "a b", "a/b", "ä", "a.b", "x".repeat(257), undefined])(
    "%s is not a topic's",
    (name) => {
      const refusal = expect.objectContaining({
        code: "invalid_name",
        details: [expect.objectContaining({ path: "topic" })],
      });
      expect(() => topic(name as string)).toThrow(refusal);
    },
  );

  test("a queue's has at most 80 characters", () => {
    expect(queue("x".repeat(80)).kind).toBe("queue");
    expect(() => queue("x".repeat(81))).toThrow(expect.objectContaining({ code: "invalid_name" }));
  });
});

const libraries = {
  zod: topic(
    "orders",
    z.object({ id: z.string(), placed: z.string().transform((text) => new Date(text)) }),
  ),
  valibot: topic(
    "orders",
    v.object({
      id: v.string(),
      placed: v.pipe(
        v.string(),
        v.transform((text) => new Date(text)),
      ),
    }),
  ),
  arktype: topic("orders", type({ id: "string", placed: "string.date.iso.parse" })),
};

describe.each(Object.entries(libraries))("a schema of %s", (_, orders) => {
  const order = { id: "o-1", placed: "2026-11-23T10:00:00.000Z" };

  test("sends its input and gives handlers its output", () => {
    const body = orders.format.encode(order) as string;
    expect(JSON.parse(body)).toEqual(order);
    expect(orders.format.decode(body)).toEqual({ id: "o-1", placed: new Date(order.placed) });
  });

  test("refuses a wrong shape on both sides, saying where", () => {
    const refusal = expect.objectContaining({
      code: "schema_mismatch",
      details: [{ path: "id", message: expect.stringMatching(/string/i) }],
    });
    expect(() => orders.format.encode({ ...order, id: 7 as never })).toThrow(refusal);
    expect(() => orders.format.decode(JSON.stringify({ ...order, id: 7 }))).toThrow(refusal);
  });

  test("passes a queue that is fed by the topic", () => {
    expect(queue("billing", orders).format).toBe(orders.format);
  });
});

test("types follow the schema: input to publish, output to handlers", () => {
  type Placed = { id: string; placed: string };
  type Read = { id: string; placed: Date };
  expectTypeOf<PayloadInput<typeof libraries.zod>>().toEqualTypeOf<Placed>();
  expectTypeOf<Payload<typeof libraries.zod>>().toEqualTypeOf<Read>();
  expectTypeOf<PayloadInput<typeof libraries.valibot>>().toEqualTypeOf<Placed>();
  expectTypeOf<Payload<typeof libraries.valibot>>().toEqualTypeOf<Read>();
  expectTypeOf<PayloadInput<typeof libraries.arktype>>().toEqualTypeOf<Placed>();
  expectTypeOf<Payload<typeof libraries.arktype>>().toEqualTypeOf<Read>();

  const fed = queue("billing", libraries.zod);
  expectTypeOf<PayloadInput<typeof fed>>().toEqualTypeOf<Placed>();
  expectTypeOf<Payload<typeof fed>>().toEqualTypeOf<Read>();

  const text = queue("notes");
  expectTypeOf<PayloadInput<typeof text>>().toEqualTypeOf<string>();
  expectTypeOf<Payload<typeof text>>().toEqualTypeOf<string>();

  const believed = queue("metrics", json<{ value: number }>());
  expectTypeOf<Payload<typeof believed>>().toEqualTypeOf<{ value: number }>();
});

test("types: a declaration knows its name, and is one of any name as well", () => {
  const orders = topic("orders.fifo", z.object({ id: z.string() }));
  expectTypeOf(orders.name).toEqualTypeOf<"orders.fifo">();
  expectTypeOf(queue("billing.fifo", orders).name).toEqualTypeOf<"billing.fifo">();
  expectTypeOf(queue("notes").name).toEqualTypeOf<"notes">();
  expectTypeOf(topic("notes" as string).name).toEqualTypeOf<string>();
  expectTypeOf(orders).toExtend<TopicDeclaration<{ id: string }, { id: string }>>();
  expectTypeOf(orders).toExtend<TopicReference>();
});

test("types: a queue is fed by a topic whose messages it can take", () => {
  const admin = createAdmin(connect({ url: "http://127.0.0.1:1" }));
  const orders = topic("orders", z.object({ id: z.string(), total: z.number() }));
  const other = queue("other", z.object({ other: z.string() }));
  const settings = { filterPolicyScope: "MessageBody" } as const;
  const check = () => {
    void admin.subscribe(orders, queue("billing", orders), settings);
    void admin.subscriptions.create(orders, queue("billing", orders));
    // What it does not read does not matter.
    void admin.subscribe(orders, queue("ids", z.object({ id: z.string() })));
    void admin.subscribe(orders, queue("texts"));
    void admin.subscribe(orders, queue("any", json()));
    void admin.subscribe(topic("texts"), queue("texts"));
    void admin.subscribe("orders", other);
    void admin.subscribe(orders, "other");
    void admin.subscribe(orders as TopicReference, other as QueueReference);
    void admin.subscribe(orders, other, { rawDelivery: false });
    void admin.subscriptions.create(orders, other, { ...settings, rawDelivery: false });
    // @ts-expect-error a queue of another shape
    void admin.subscribe(orders, other);
    // @ts-expect-error a queue of another shape
    void admin.subscriptions.create(orders, other, settings);
    // @ts-expect-error a queue that wants more than the topic has
    void admin.subscribe(topic("ids", z.object({ id: z.string() })), queue("billing", orders));
    // @ts-expect-error text where JSON is wanted
    void admin.subscribe(topic("texts"), other);
    // @ts-expect-error not what the queue gets either
    void admin.subscribe(orders, other, { rawDelivery: true });
  };
  expect(check).toBeTypeOf("function");
});
