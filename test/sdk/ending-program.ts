import { connect, createAdmin, queue } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";

/*
 * A program that sends a message, handles it and has nothing more to do: a timer that is left would keep its process
 * for ten minutes.
 */
const longMs = 600_000;
const [url = ""] = process.argv.slice(2);
const connection = connect({ url, timeoutMs: longMs });
const jobs = queue("jobs");
await createAdmin(connection).queues.create(jobs);

const producer = createProducer(connection, { drainTimeoutMs: longMs });
await producer.send(jobs, "one");
await producer.close();

const consumer = createConsumer(connection, jobs, {
  // Extended at half of that; what stands still is found at a quarter.
  visibilityTimeout: (4 * longMs) / 1_000,
  drainTimeoutMs: longMs,
});
await consumer.run(() => {
  process.stdout.write("handled\n");
  void consumer.stop();
});
