import { SluiceError } from "../errors.ts";
import type { QueueSettings } from "./queues.ts";

/** @throws {SluiceError} `invalid_request` where a name or a setting is for the other kind of queue */
export function checkFifoSettings(
  name: string,
  settings: Pick<
    QueueSettings,
    "fifo" | "contentBasedDeduplication" | "deduplicationScope" | "fifoThroughputLimit"
  >,
): void {
  const { fifo, contentBasedDeduplication, deduplicationScope, fifoThroughputLimit } = settings;
  if (fifo !== name.endsWith(".fifo")) {
    refuse(
      "fifo",
      fifo
        ? "the name of a FIFO queue ends in .fifo"
        : "a name that ends in .fifo is for a FIFO queue; say fifo: true when it is created",
    );
  }
  const onlyFifo = "is for FIFO queues; leave it out";
  if (!fifo && contentBasedDeduplication) refuse("contentBasedDeduplication", onlyFifo);
  if (!fifo && deduplicationScope !== "queue") refuse("deduplicationScope", onlyFifo);
  if (!fifo && fifoThroughputLimit !== "perQueue") refuse("fifoThroughputLimit", onlyFifo);
  if (fifoThroughputLimit === "perMessageGroupId" && deduplicationScope !== "messageGroup") {
    refuse("fifoThroughputLimit", 'perMessageGroupId needs deduplicationScope "messageGroup"');
  }
}

function refuse(setting: keyof QueueSettings, message: string): never {
  throw new SluiceError("invalid_request", `${setting}: ${message}`, {
    details: [{ path: setting, message }],
  });
}
