import { connect, queue } from "@sluice/client";
import { createConsumer, type Consumer } from "@sluice/consumer";

import type { Assignment, Report } from "./workload.ts";

/** Child process: consumes its queues until each has had every message, acknowledged. */
process.once("message", (assignment: Assignment) => {
  const { url, workload, queues } = assignment;
  const connection = connect({ url });
  const consumers = queues.map((name) =>
    createConsumer(connection, queue(name), {
      batchSize: workload.receiveBatch,
      receivers: workload.receivers,
      onError: ({ stage, error }) => {
        console.error(stage, error);
      },
    }),
  );
  void Promise.all(consumers.map((consumer) => consumeAll(consumer, workload.messages))).then(
    (counts) => {
      report({
        type: "done",
        count: counts.reduce((sum, count) => sum + count, 0),
        cpuSeconds: cpuSeconds(),
      });
      process.disconnect();
    },
  );
  report({ type: "ready" });
});

/** Resolves once all are received and their acknowledgements are confirmed. */
async function consumeAll(consumer: Consumer<unknown>, expected: number): Promise<number> {
  let received = 0;
  await consumer.runBatches((messages) => {
    received += messages.length;
    if (received >= expected) void consumer.stop();
  });
  return received;
}

function report(message: Report): void {
  process.send?.(message);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
