import { connect, createAdmin, queue, topic } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";

const sales = topic("sales");
const largeSales = queue("large-sales", sales);
const refunds = queue("refunds", sales);

const connection = connect({ url: process.env.SLUICE_URL ?? "http://127.0.0.1:4566" });
const admin = createAdmin(connection);
await Promise.all([
  admin.topics.create(sales),
  admin.queues.create(largeSales),
  admin.queues.create(refunds),
]);
await admin.subscribe(sales, largeSales, {
  filterPolicy: { store: ["north", "south"], total: [{ numeric: [">=", 100] }] },
});
await admin.subscribe(sales, refunds, {
  filterPolicy: { sale: { kind: ["refund"] } },
  filterPolicyScope: "MessageBody",
});

const body = JSON.stringify({ sale: { kind: "order" } });
const attributes = { store: "north", total: 250 };
for (const { queue: name, matches, refusal } of await admin.subscriptions.match(sales, {
  body,
  attributes,
}))
  console.log(
    matches ? `${name} gets it` : `${name} does not: ${refusal?.path}: ${refusal?.message}`,
  );

await createProducer(connection).publish(sales, body, { attributes });
for await (const message of createConsumer(connection, largeSales)) {
  console.log(`a large sale: ${message.payload}`);
  await message.ack();
  break;
}
