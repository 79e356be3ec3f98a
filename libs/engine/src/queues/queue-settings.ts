import type { RedriveAllowPolicy, RedrivePolicy } from "../dead-letter/redrive-policy.ts";
import { invalidRequest } from "../errors.ts";

/** What can be set on a queue; durations in seconds, size in bytes (LIMITS: queues). */
export interface QueueSettings {
  visibilityTimeout: number;
  delay: number;
  retention: number;
  maxMessageSize: number;
  receiveWait: number;
  /** Null: messages are received until they are acknowledged or expire. */
  redrive: RedrivePolicy | null;
  redriveAllow: RedriveAllowPolicy;
  /**
   * Whether messages of a group come in order, and duplicates not at all; its name ends in `.fifo` then. Cannot be
   * changed.
   */
  fifo: boolean;
  /** Of a FIFO queue: whether a message without a deduplication id gets the SHA-256 of its body. */
  contentBasedDeduplication: boolean;
  /** Of a FIFO queue: within what a deduplication id counts. */
  deduplicationScope: "queue" | "messageGroup";
  /** Of a FIFO queue; `perMessageGroupId` needs the scope `messageGroup`. Groups never share a limit here. */
  fifoThroughputLimit: "perQueue" | "perMessageGroupId";
  /** Whether receives get nothing; sends and fan-out go on. */
  paused: boolean;
  tags: Record<string, string>;
  /** What AWS' protocols set and show although it has no meaning here; not what makes two queues differ. */
  awsAttributes?: Record<string, string>;
}

export const queueDefaults: QueueSettings = {
  visibilityTimeout: 30,
  delay: 0,
  retention: 345_600,
  maxMessageSize: 1_048_576,
  receiveWait: 0,
  redrive: null,
  redriveAllow: { permission: "allowAll" },
  fifo: false,
  contentBasedDeduplication: false,
  deduplicationScope: "queue",
  fifoThroughputLimit: "perQueue",
  paused: false,
  tags: {},
};

/** @throws {SluiceError} `invalid_request` where a name or a setting is for the other kind of queue */
export function checkQueueSettings(
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
  throw invalidRequest(setting, message);
}
