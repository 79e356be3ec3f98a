import type { Stamp } from "../load/bodies.ts";
import type { Load, Names } from "../load/load.ts";

/** Told of messages as they come; they are acknowledged when it returns. */
export type Take = (stamps: readonly Stamp[]) => void;

/** A system as its own users drive it, by its own client library. Every process of a round has one. */
export interface Client extends AsyncDisposable {
  /** Makes what the load needs: the topic with its queues, or the queues alone. */
  create(names: Names): Promise<void>;
  remove(names: Names): Promise<void>;
  /** Resolves when the system has said of every message that it has it, for every queue. */
  publish(names: Names, bodies: string[]): Promise<void>;
  /** The same, straight to one queue. `first` is the place of the first body in the load. */
  send(queue: string, bodies: string[], first: number): Promise<void>;
  /**
   * Receives from a queue and acknowledges, as the load says; gives how to stop, which resolves when the last
   * acknowledgement has reached the system.
   */
  consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>>;
  /** Messages that the queue still holds, received ones included. */
  left(queue: string): Promise<number>;
}
