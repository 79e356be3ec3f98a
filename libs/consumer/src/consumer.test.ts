import { connect, queue } from "@sluice/client";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { createConsumer } from "./consumer.ts";
import type { ReceivedMessage } from "./received-message.ts";

const orders = queue(
  "orders",
  z.object({ id: z.string(), at: z.string().transform((text) => new Date(text)) }),
);
const connection = connect({ url: "http://127.0.0.1:1" });

test("types: handlers get what the schema gives", () => {
  type Order = { id: string; at: Date };
  const check = async () => {
    const consumer = createConsumer(connection, orders);
    void consumer.run((message) => expectTypeOf(message).toEqualTypeOf<ReceivedMessage<Order>>());
    void consumer.runBatches((messages) =>
      expectTypeOf(messages).toEqualTypeOf<ReceivedMessage<Order>[]>(),
    );
    for await (const message of consumer) expectTypeOf(message.payload).toEqualTypeOf<Order>();
    for await (const { payload } of createConsumer(connection, queue("notes")))
      expectTypeOf(payload).toBeString();
    // @ts-expect-error no such field
    void consumer.run(({ payload }) => payload.total);
  };
  expect(check).toBeTypeOf("function");
});

test("without a handler, or a declared queue, it does not begin", async () => {
  const missing = undefined as unknown as () => void;
  const refused = { code: "invalid_request" };
  await expect(createConsumer(connection, orders).run(missing)).rejects.toMatchObject(refused);
  await expect(createConsumer(connection, orders).runBatches(missing)).rejects.toMatchObject(
    refused,
  );
  const name = "orders" as unknown as typeof orders;
  expect(() => createConsumer(connection, name)).toThrow('got "orders"');
});

test("a consumer that was stopped before it ran does not run", async () => {
  const consumer = createConsumer(connection, orders);
  await consumer.stop();
  expect(consumer.state).toBe("stopped");
  await expect(consumer.run(() => {})).rejects.toMatchObject({ code: "closed" });
});
