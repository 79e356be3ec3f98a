import type {
  Call,
  CallOf,
  Delivered,
  History,
  OperationName,
  QueueOfWorld,
  Sent,
  Settled,
} from "../history/history.ts";

/** A message with everything that is known of how it was sent: all attempts, its repeats too, are one message. */
export interface Message extends Sent {
  target: string;
  kindOfTarget: "topic" | "queue";
  /** When the first attempt began. */
  begin: number;
  /** When the first success was there; Infinity without one. */
  acknowledged: number;
  /** Whether an attempt may have stored it: false when all were refused. */
  possible: boolean;
  ids: Set<string>;
  client: string;
}

/** One message of one receive that was answered. */
export interface Receive extends Delivered {
  queue: string;
  begin: number;
  end: number;
  /** Seconds that this receive holds it. */
  timeout: number;
  /** The call that brought it, and where in its answer. */
  call: CallOf<"receive">;
  position: number;
}

/** One attempt to acknowledge, or to change the visibility of, one receive. */
export interface Use {
  begin: number;
  end: number;
  outcome: "ok" | "refused" | "unknown";
  code: Settled;
  /** Seconds; of a change of visibility. */
  timeout: number;
}

/** Receives of one message in one queue between its arrival there and its end: counts go 1, 2, 3. */
export interface Stay {
  message: Message | undefined;
  value: string;
  queue: QueueOfWorld;
  /** By receive count. */
  receives: Receive[];
}

/** A history, arranged for the checks: each looks things up here and walks the calls no second time. */
export class Indexed {
  readonly history: History;
  readonly messages = new Map<string, Message>();
  readonly byId = new Map<string, Message>();
  readonly queues = new Map<string, QueueOfWorld>();
  /** Receives of a value, by queue. */
  readonly receives = new Map<string, Map<string, Receive[]>>();
  readonly stays: Stay[] = [];
  readonly byHandle = new Map<string, Receive[]>();
  readonly acknowledgements = new Map<string, Use[]>();
  readonly changes = new Map<string, Use[]>();
  readonly #calls = new Map<OperationName, Call[]>();
  readonly #effective = new Map<string, unknown[]>();

  constructor(history: History) {
    this.history = history;
    for (const queue of history.world.queues) this.queues.set(queue.name, queue);
    for (const call of history.calls) {
      push(this.#calls, call.operation, call);
      this.#take(call);
    }
    for (const uses of [...this.acknowledgements.values(), ...this.changes.values()]) {
      uses.sort((a, b) => a.begin - b.begin);
    }
    this.#arrangeStays();
  }

  calls<Name extends OperationName>(operation: Name): CallOf<Name>[] {
    return (this.#calls.get(operation) ?? []) as unknown as CallOf<Name>[];
  }

  /** Calls on one queue that had, or may have had, their effect. */
  effective<Name extends "receive" | "purge" | "redrive" | "pause" | "resume" | "cancel">(
    operation: Name,
    queue: string,
  ): CallOf<Name>[] {
    const key = `${operation}/${queue}`;
    let found = this.#effective.get(key);
    if (found === undefined) {
      const all = this.calls(operation) as CallOf<Name>[];
      found = all.filter((call) => call.outcome !== "fail" && call.request.queue === queue);
      this.#effective.set(key, found);
    }
    return found as CallOf<Name>[];
  }

  /** Turns a time of Postgres into one of the history, to within {@link clockTolerance}. */
  fromDatabase(ms: number): number {
    return (ms - this.history.wallOffsetMs) * 1e6;
  }

  /** The queue and the one that its dead letters go to. */
  family(queue: QueueOfWorld): string[] {
    return queue.deadLetterQueue === undefined ? [queue.name] : [queue.name, queue.deadLetterQueue];
  }

  /** All receives of a value in these queues. */
  receivesIn(value: string, queues: readonly string[]): Receive[] {
    const of = this.receives.get(value);
    return queues.flatMap((queue) => of?.get(queue) ?? []);
  }

  #take(call: Call): void {
    switch (call.operation) {
      case "publish":
      case "send":
        this.#takeWrite(call);
        break;
      case "receive":
        this.#takeReceive(call);
        break;
      case "acknowledge":
        call.request.handles.forEach((handle, index) =>
          push(this.acknowledgements, handle, useOf(call, index, 0)),
        );
        break;
      case "visibility":
        call.request.entries.forEach(({ handle, timeout }, index) =>
          push(this.changes, handle, useOf(call, index, timeout)),
        );
        break;
      default:
    }
  }

  #takeWrite(call: CallOf<"publish"> | CallOf<"send">): void {
    call.request.messages.forEach((sent, index) => {
      const known = this.messages.get(sent.value) ?? newMessage(sent, call);
      this.messages.set(sent.value, known);
      known.begin = Math.min(known.begin, call.begin);
      if (call.outcome === "unknown") known.possible = true;
      const result = call.response?.[index];
      if (result === undefined || !("id" in result)) return;
      known.possible = true;
      known.acknowledged = Math.min(known.acknowledged, call.end);
      known.ids.add(result.id);
      this.byId.set(result.id, known);
    });
  }

  #takeReceive(call: CallOf<"receive">): void {
    const { queue } = call.request;
    const timeout = call.request.timeout ?? this.queues.get(queue)?.visibilityTimeout ?? 30;
    call.response?.forEach((message, position) => {
      const { begin, end } = call;
      const receive = { ...message, queue, begin, end, timeout, call, position };
      const byQueue = this.receives.get(message.value) ?? new Map<string, Receive[]>();
      this.receives.set(message.value, byQueue);
      push(byQueue, queue, receive);
      push(this.byHandle, message.handle, receive);
    });
  }

  #arrangeStays(): void {
    for (const [value, byQueue] of this.receives) {
      for (const [name, receives] of byQueue) {
        const queue = this.queues.get(name) ?? { name, visibilityTimeout: 30 };
        const stays = new Map<string, Receive[]>();
        for (const receive of receives) push(stays, `${receive.id}/${receive.firstAt}`, receive);
        for (const stay of stays.values()) {
          stay.sort((a, b) => a.count - b.count || a.end - b.end);
          this.stays.push({ message: this.messages.get(value), value, queue, receives: stay });
        }
      }
    }
  }
}

/** Between the two clocks, and for times of Postgres being cut to milliseconds, ns. */
export const clockTolerance = 25e6;

function newMessage(sent: Sent, call: CallOf<"publish"> | CallOf<"send">): Message {
  const toTopic = call.operation === "publish";
  return {
    ...sent,
    target: toTopic ? call.request.topic : call.request.queue,
    kindOfTarget: toTopic ? "topic" : "queue",
    begin: call.begin,
    acknowledged: Infinity,
    possible: false,
    ids: new Set(),
    client: call.client,
  };
}

function useOf(
  call: CallOf<"acknowledge"> | CallOf<"visibility">,
  index: number,
  timeout: number,
): Use {
  const { begin, end } = call;
  if (call.outcome === "unknown") return { begin, end, timeout, outcome: "unknown", code: "" };
  const code = call.response?.[index] ?? "refused";
  return { begin, end, timeout, code, outcome: code === "ok" ? "ok" : "refused" };
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
