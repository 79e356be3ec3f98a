import { invalidRequest } from "../errors.ts";

/** What can be set on a topic (LIMITS: topics). */
export interface TopicSettings {
  /**
   * Whether messages of a group are fanned out in order, and duplicates not at all; its name ends in `.fifo` then.
   * Cannot be changed.
   */
  fifo: boolean;
  /** Of a FIFO topic: whether a message without a deduplication id gets the SHA-256 of its body. */
  contentBasedDeduplication: boolean;
  /** Of a FIFO topic: within what a deduplication id counts. */
  fifoThroughputScope: "topic" | "messageGroup";
  /** Bytes of body and attributes together. */
  maxMessageSize: number;
  tags: Record<string, string>;
}

export const topicDefaults: TopicSettings = {
  fifo: false,
  contentBasedDeduplication: false,
  fifoThroughputScope: "topic",
  maxMessageSize: 262_144,
  tags: {},
};

/** @throws {SluiceError} `invalid_request` where a name or a setting is for the other kind of topic */
export function checkTopicSettings(
  name: string,
  { fifo, contentBasedDeduplication, fifoThroughputScope }: TopicSettings,
): void {
  if (fifo !== name.endsWith(".fifo")) {
    refuse(
      "fifo",
      fifo
        ? "the name of a FIFO topic ends in .fifo"
        : "a name that ends in .fifo is for a FIFO topic; say fifo: true when it is created",
    );
  }
  const onlyFifo = "is for FIFO topics; leave it out";
  if (!fifo && contentBasedDeduplication) refuse("contentBasedDeduplication", onlyFifo);
  if (!fifo && fifoThroughputScope !== "topic") refuse("fifoThroughputScope", onlyFifo);
}

function refuse(setting: keyof TopicSettings, message: string): never {
  throw invalidRequest(setting, message);
}
