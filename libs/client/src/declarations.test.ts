import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { queue, topic } from "./declarations.ts";
import type { Payload, PayloadInput } from "./declarations.ts";
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
