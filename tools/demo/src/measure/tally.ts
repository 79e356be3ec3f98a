import type { ReceivedMessage } from "@sluice/consumer";
import { fingerprint, type Fingerprint } from "../fingerprint.ts";

/** What one service has seen of its queue. */
export class Tally {
  /** How often a message was handed to the service. */
  deliveries = 0;
  /** How often it was one that had been received before. */
  redeliveries = 0;
  /** When each message came first, in milliseconds of `performance.now()`. */
  readonly arrivals = new Map<string, number>();
  /** What the service has handled with success. */
  readonly handled = new Map<string, Fingerprint>();
  /** What it has handled with success more than once. */
  readonly doubled = new Set<string>();

  /** A message has come. */
  received({ id, receiveCount }: ReceivedMessage<unknown>): void {
    this.deliveries++;
    if (receiveCount > 1) this.redeliveries++;
    if (!this.arrivals.has(id)) this.arrivals.set(id, performance.now());
  }

  /** The service is done with it. */
  succeeded({ id, body }: ReceivedMessage<unknown>): void {
    if (this.handled.has(id)) this.doubled.add(id);
    this.handled.set(id, fingerprint(body));
  }
}
