import type { CallOf, Delivered, Settled } from "../history/history.ts";

/** One attempt to acknowledge, or to change the visibility of, one receive. */
export interface Use {
  begin: number;
  end: number;
  outcome: "ok" | "refused" | "unknown";
  code: Settled;
  /** Seconds; of a change of visibility. */
  timeout: number;
  /** Whether it says that nobody has seen the message, so that its receive is not to count. */
  unseen: boolean;
}

/**
 * What was done by a receipt handle. Added to by replacing: most are used once, and all that one call uses alike share
 * its list.
 */
export class Uses {
  acknowledgements: readonly Use[] = none;
  /** Of the visibility. */
  changes: readonly Use[] = none;
}

const none: readonly Use[] = [];

/**
 * One message of one receive that was answered. An hour has millions: it looks at the call that brought it, and copies
 * nothing.
 */
export class Receive extends Uses {
  readonly call: CallOf<"receive">;
  /** Where in the answer of the call. */
  readonly position: number;
  /** Seconds that this receive holds it. */
  readonly timeout: number;
  readonly #message: Delivered;

  constructor(
    call: CallOf<"receive">,
    position: number,
    { message, timeout }: { message: Delivered; timeout: number },
  ) {
    super();
    this.call = call;
    this.position = position;
    this.timeout = timeout;
    this.#message = message;
  }

  /** Whether it was taken back as one that nobody has seen: it may be then that only the call knows. */
  get isTakenBack(): "yes" | "perhaps" | "no" {
    const outcomes = this.changes.flatMap(({ unseen, outcome }) => (unseen ? outcome : []));
    if (outcomes.includes("ok")) return "yes";
    return outcomes.includes("unknown") ? "perhaps" : "no";
  }

  get queue(): string {
    return this.call.request.queue;
  }
  get begin(): number {
    return this.call.begin;
  }
  get end(): number {
    return this.call.end;
  }
  get value(): string {
    return this.#message.value;
  }
  get id(): string {
    return this.#message.id;
  }
  get digest(): string {
    return this.#message.digest;
  }
  get handle(): string {
    return this.#message.handle;
  }
  get count(): number {
    return this.#message.count;
  }
  get sentAt(): number {
    return this.#message.sentAt;
  }
  get firstAt(): number {
    return this.#message.firstAt;
  }
  get group(): string | undefined {
    return this.#message.group;
  }
  get sequence(): string | undefined {
    return this.#message.sequence;
  }
}
