import { connect, createAdmin, queue, topic } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { eq } from "drizzle-orm";
import { bigint, integer, jsonb, pgTable, text } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { z } from "zod";

const Placed = z.object({ id: z.string(), total: z.number() });
const placed = topic("orders", Placed);
const billing = queue("billing", placed);

// The tables of the application, in a database of its own.
const orders = pgTable("orders", { id: text().primaryKey(), total: integer().notNull() });
const outbox = pgTable("outbox", {
  id: bigint({ mode: "bigint" }).generatedAlwaysAsIdentity().primaryKey(),
  payload: jsonb().$type<z.infer<typeof Placed>>().notNull(),
});
const url = process.env.APP_DATABASE_URL;
if (!url) throw new Error("APP_DATABASE_URL is not set, expected postgres://… of the application");
const sql = postgres(url, { onnotice: () => {} });
const db = drizzle(sql);

const connection = connect({ url: process.env.SLUICE_URL ?? "http://127.0.0.1:4566" });
const producer = createProducer(connection);

/** The order and its event: both, or neither. */
async function placeOrder(order: z.infer<typeof Placed>): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.insert(orders).values(order);
    await tx.insert(outbox).values({ payload: order });
  });
}

/** Whether there was such a row: unique_violation, which Drizzle has as the cause of its own error. */
function isDuplicate(error: unknown): boolean {
  return (
    error instanceof Error &&
    error.cause instanceof postgres.PostgresError &&
    error.cause.code === "23505"
  );
}

/** Publishes the event that has waited longest; false when there is none. Any number of processes may do so at once. */
async function relayOne(): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const [event] = await tx
      .select()
      .from(outbox)
      .orderBy(outbox.id)
      .limit(1)
      .for("update", { skipLocked: true });
    if (!event) return false;
    // Who dies before the commit leaves the event to the next one, whose call has the same key.
    await producer.publish(placed, event.payload, { idempotencyKey: `orders-${event.id}` });
    await tx.delete(outbox).where(eq(outbox.id, event.id));
    return true;
  });
}

const admin = createAdmin(connection);
await Promise.all([admin.topics.ensure(placed), admin.queues.ensure(billing)]);
await admin.subscribe(placed, billing);
await sql`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, total integer NOT NULL)`;
await sql`CREATE TABLE IF NOT EXISTS outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb NOT NULL)`;

const id = crypto.randomUUID();
await placeOrder({ id, total: 12 });
await placeOrder({ id, total: 99 }).catch((error: unknown) => {
  if (!isDuplicate(error)) throw error;
  console.log(`there is an order ${id}: nothing is stored, and nothing will be published`);
});
while (await relayOne());

for await (const message of createConsumer(connection, billing)) {
  console.log(`bill ${message.payload.total} for order ${message.payload.id}`);
  await message.ack();
  break;
}
await sql.end();
