/** Bulk fan-out: one topic, several queues, each of which must get every message. */
export interface Workload {
  /** Messages published. */
  messages: number;
  queues: number;
  /** Bytes of each body. */
  bodyBytes: number;
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
}

export const defaultWorkload: Workload = {
  messages: 50_000,
  queues: 10,
  bodyBytes: 256,
  publishBatch: 100,
  publishers: 8,
  receiveBatch: 1_000,
  receivers: 1,
  consumerProcesses: 2,
};

/** What a child process is told: its part of one round. */
export interface Assignment {
  url: string;
  workload: Workload;
  topic: string;
  /** Queues that this process consumes; none for the producer. */
  queues: string[];
}

export type Report =
  | { type: "ready" }
  /** Everything published, or everything received and acknowledged. */
  | { type: "done"; count: number; cpuSeconds: number };
