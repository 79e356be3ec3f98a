import type { HeldMessage } from "./held-message.ts";
import type { Outcomes } from "./outcomes.ts";

/** What a workload is told of the run that it is for. */
export interface Run {
  readonly outcomes: Outcomes;
  /** How long a receive hides messages, in seconds. */
  readonly visibilityTimeout: number;
}

/** Handles messages in its own way: one by one, or in batches. */
export interface Workload {
  /**
   * Waits until more messages are wanted, and says how many; 0 once it is stopped. The number stays reserved until
   * take().
   */
  room(): number | Promise<number>;
  /** Takes what came of a reservation. The receiver goes on when this resolves. */
  take(messages: HeldMessage[], reserved: number): void | Promise<void>;
  /** Begins nothing more and returns what was taken and not begun. */
  stop(): HeldMessage[];
  /** Resolves when nothing is being handled. */
  idle(): Promise<void>;
}
