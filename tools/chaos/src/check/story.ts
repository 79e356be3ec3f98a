import type {
  Call,
  Delivered,
  History,
  OperationName,
  Operations,
  Sent,
  World,
} from "../history/history.ts";

/** Seconds of a story to the nanoseconds of a history. */
const ns = (seconds: number) => Math.round(seconds * 1e9);

export interface Span {
  /** Seconds at which the call begins and ends; a call takes 10 ms when it is not said. */
  at: number;
  until?: number;
  client?: string;
}

/**
 * A history told by hand, in seconds: for tests of the checker. Messages are named by their value, and whatever is not
 * said is as it should be.
 */
export class Story {
  readonly world: World;
  readonly calls: Call[] = [];
  readonly #sent = new Map<string, Sent>();
  #handles = 0;

  readonly #more: Pick<History, "lateMs" | "faults" | "jumps">;

  /**
   * @param faults - when they were in force, in seconds
   * @param jumps - of the clock of Postgres, all in seconds; each happens within the ten milliseconds after
   */
  constructor(
    world: Partial<World> = {},
    {
      faults,
      jumps,
      ...more
    }: {
      lateMs?: number;
      faults?: readonly [from: number, to: number][];
      jumps?: readonly (readonly [at: number, by: number])[];
    } = {},
  ) {
    this.#more = {
      ...more,
      ...(faults && { faults: faults.map(([from, to]) => ({ begin: ns(from), end: ns(to) })) }),
      ...(jumps && {
        jumps: jumps.map(([moment, by]) => ({
          begin: ns(moment),
          end: ns(moment + 0.01),
          by: by * 1_000,
        })),
      }),
    };
    this.world = {
      topics: [{ name: "topic" }],
      queues: [
        { name: "queue", visibilityTimeout: 5 },
        { name: "other", visibilityTimeout: 5 },
        { name: "retry", visibilityTimeout: 5, deadLetterQueue: "dead", maxReceiveCount: 2 },
        { name: "dead", visibilityTimeout: 5 },
      ],
      subscriptions: [
        { topic: "topic", queue: "queue" },
        { topic: "topic", queue: "other" },
      ],
      ...world,
    };
  }

  get history(): History & { calls: Call[] } {
    return { world: this.world, calls: this.calls, wallOffsetMs: 0, ...this.#more };
  }

  publish(span: Span, ...messages: (string | Partial<Sent>)[]): this {
    return this.#write("publish", span, { topic: "topic" }, messages);
  }

  send(span: Span, queue: string, ...messages: (string | Partial<Sent>)[]): this {
    return this.#write("send", span, { queue }, messages);
  }

  /** Delivers messages; the handle that each gets is told to `use`. */
  receive(span: Span, queue: string, ...messages: (string | Partial<Delivered>)[]): string[] {
    const response = messages.map((message) => this.#delivered(span, message));
    this.call("receive", span, { queue }, response);
    return response.map(({ handle }) => handle);
  }

  acknowledge(span: Span, queue: string, handles: string[], code = "ok"): this {
    return this.call(
      "acknowledge",
      span,
      { queue, handles },
      handles.map(() => code),
    );
  }

  /** Receives and acknowledges at once. */
  take(span: Span, queue: string, ...messages: (string | Partial<Delivered>)[]): this {
    const handles = this.receive(span, queue, ...messages);
    return this.acknowledge({ at: (span.until ?? span.at + 0.01) + 0.01 }, queue, handles);
  }

  call<Name extends OperationName>(
    operation: Name,
    { at, until = at + 0.01, client = "client" }: Span,
    request: Operations[Name]["request"],
    response: Operations[Name]["response"] | "unknown" | "fail",
  ): this {
    const unknown = response === "unknown";
    const outcome = unknown ? "unknown" : response === "fail" ? "fail" : "ok";
    this.calls.push({
      operation,
      client,
      begin: ns(at),
      end: unknown ? Infinity : ns(until),
      outcome,
      request,
      response: outcome === "ok" ? response : undefined,
    } as Call);
    return this;
  }

  #write(
    operation: "publish" | "send",
    span: Span,
    target: { topic: string } | { queue: string },
    messages: (string | Partial<Sent>)[],
  ): this {
    const sent = messages.map((message): Sent => {
      const parts = typeof message === "string" ? { value: message } : message;
      const value = parts.value ?? "";
      return { digest: `digest of ${value}`, ...parts, value };
    });
    for (const message of sent) this.#sent.set(message.value, message);
    const response = sent.map(({ value }) => ({ id: `id of ${value}` }));
    return this.call(operation, span, { ...target, messages: sent } as never, response);
  }

  #delivered({ at }: Span, message: string | Partial<Delivered>): Delivered {
    const parts = typeof message === "string" ? { value: message } : message;
    const { value = "", count = 1 } = parts;
    const sent = this.#sent.get(value);
    this.#handles += 1;
    return {
      id: `id of ${value}`,
      digest: `digest of ${value}`,
      handle: `handle ${this.#handles}`,
      sentAt: 0,
      firstAt: count === 1 ? Math.round(at * 1_000) : 0,
      ...(sent?.group !== undefined && { group: sent.group }),
      ...parts,
      value,
      count,
    };
  }
}

/** The same call, with nobody knowing what became of it. */
export function unknownOutcome(call: Call): Call {
  return { ...call, outcome: "unknown", end: Infinity, response: undefined };
}
