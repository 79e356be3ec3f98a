/** Messages that go through a system, and how: the same for every system that is compared. */
export interface Load {
  /** Fan-out from one topic to every queue, or messages sent straight to each queue. */
  via: "topic" | "queues";
  /** Messages that every queue must get. */
  messages: number;
  queues: number;
  body: BodyKind;
  /** Messages a publish call. */
  publishBatch: number;
  /** Publish calls under way at once. */
  publishers: number;
  /** Most messages a receive. */
  receiveBatch: number;
  /** Receives under way at once on each queue. */
  receivers: number;
  /** Processes that the queues are spread over. */
  consumerProcesses: number;
  /** Publish calls a second; without it, each begins when the one before has been answered. */
  rate?: number;
  /**
   * With a rate: messages at the beginning whose latency does not count, since the processes of the load are new.
   * Default 0.
   */
  untimed?: number;
  /** Spreads the messages of each queue, which is a FIFO queue then, over so many message groups. */
  groups?: number;
  /** Whether consumers begin when everything has been published. Default: they wait before the first publish. */
  publishFirst?: boolean;
}

/** What the bodies are: text that does not compress, or the webhooks that GitHub documents. */
export type BodyKind = { kind: "random"; bytes: number } | { kind: "webhooks" };

/** Names of one round. In the load `queues` nobody uses the topic. */
export interface Names {
  topic: string;
  queues: string[];
}

/** Deliveries that a load ends in. */
export function deliveriesOf(load: Load): number {
  return load.messages * load.queues;
}

/** Messages handed to the system: a topic is told once for all its queues. */
export function publishedBy(load: Load): number {
  return load.via === "topic" ? load.messages : deliveriesOf(load);
}

/** Names that no other round has. */
export function namesOf(load: Load, round: string): Names {
  const ending = load.groups === undefined ? "" : ".fifo";
  return {
    topic: `bench-${round}`,
    queues: Array.from({ length: load.queues }, (_, index) => `bench-${round}-${index}${ending}`),
  };
}
