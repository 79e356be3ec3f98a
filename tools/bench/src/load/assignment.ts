import type { Load, Names } from "./load.ts";

/** Where a system is, as its client in another process needs it. */
export type Address = Record<string, string>;

/** What a child process is told: its part of one round. */
export interface Assignment {
  role: "producer" | "consumer" | "cycle";
  /** The system's name in the table of systems. */
  system: string;
  address: Address;
  load: Load;
  names: Names;
  /** The queues that this process consumes; none for the producer. */
  consumes: string[];
  /** How long a cycle goes on, and how many parts its result is cut into. */
  cycle?: { seconds: number; parts: number };
}

export type Report =
  | { type: "ready" }
  | { type: "failed"; message: string }
  /** Everything published, or everything received and acknowledged. */
  | ({ type: "done" } & Done);

export interface Done {
  /** Messages published or received. */
  count: number;
  cpuSeconds: number;
  /** From the start signal to the last answer. */
  seconds: number;
  /** Of a consumer of a paced load: from publish to receive, in microseconds. */
  latencies: Float64Array;
  /** Of a cycle: messages sent, received and acknowledged in each part of its time. */
  parts: number[];
  /** What is wrong with what this process saw. */
  complaints: string[];
}

export const nothingDone: Done = {
  count: 0,
  cpuSeconds: 0,
  seconds: 0,
  latencies: new Float64Array(),
  parts: [],
  complaints: [],
};
