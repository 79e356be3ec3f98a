/** Told what happened, after it was committed; the server turns this into metrics. */
export interface Observer {
  published(messages: number): void;
  sent(messages: number): void;
  fannedOut(batches: number, deliveries: number): void;
  received(messages: number): void;
  acknowledged(messages: number): void;
  /** Moved to a dead-letter queue. */
  deadLettered(messages: number): void;
  /** Handed back at once, since the client that asked for them had gone. */
  released(messages: number): void;
  /** Something in the background failed and will be tried again. */
  failed(what: string, error: unknown): void;
}
