import { connect, createAdmin, queue, topic } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { z } from "zod";

const orders = topic("orders", z.object({ id: z.string(), total: z.number() }));
const billing = queue("billing", orders);

const connection = connect({ url: process.env.SLUICE_URL ?? "http://127.0.0.1:4566" });
const admin = createAdmin(connection);
await Promise.all([admin.topics.ensure(orders), admin.queues.ensure(billing)]);
await admin.subscribe(orders, billing);

await createProducer(connection).publish(orders, { id: "o-1", total: 12.5 });

for await (const message of createConsumer(connection, billing)) {
  console.log(`bill ${message.payload.total} for order ${message.payload.id}`);
  await message.ack();
  break;
}
