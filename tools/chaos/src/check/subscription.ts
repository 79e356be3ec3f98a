import { Spans, type Span } from "./spans.ts";

/** A subscribe or an unsubscribe that had, or may have had, its effect. */
interface Change extends Span {
  outcome: "ok" | "fail" | "unknown";
}

/** When a queue was subscribed to a topic, and when it may have been. */
export class Subscription {
  /** From the begin of a subscribe until an unsubscribe after it was over for certain. */
  readonly #possible: Spans;
  /** From the end of a subscribe until the next unsubscribe may have come. */
  readonly #certain: Spans;

  constructor(subscribed: readonly Change[], unsubscribed: readonly Change[]) {
    const carriedOut = new Spans(unsubscribed.filter(({ outcome }) => outcome === "ok"));
    this.#possible = new Spans(
      subscribed.map(({ begin, end }) => ({ begin, end: carriedOut.earliestEnd(end) })),
    );
    const any = new Spans(unsubscribed);
    this.#certain = new Spans(
      subscribed
        .filter(({ outcome }) => outcome === "ok")
        .map(({ begin, end }) => ({ begin: end, end: any.earliestBegin(begin) })),
    );
  }

  /** Whether what was sent from a moment on can have been received by another. */
  mayBring(sent: number, received: number): boolean {
    return this.#possible.latestEnd(received) >= sent;
  }

  /** Whether what was sent from a moment on, and fanned out by another, has to come. */
  mustBring(sent: number, fannedOut: number): boolean {
    return this.#certain.latestEnd(sent) >= fannedOut;
  }
}
