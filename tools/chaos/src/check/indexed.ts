import type {
  Call,
  CallOf,
  History,
  OperationName,
  QueueOfWorld,
  Sent,
  World,
} from "../history/history.ts";
import { Calm } from "./calm.ts";
import { DatabaseClock } from "./database-clock.ts";
import { Handles } from "./handles.ts";
import { Policy } from "./policy.ts";
import { silent, type Progress } from "./progress.ts";
import { Receive } from "./receive.ts";
import { Spans, type Span } from "./spans.ts";
import { Subscription } from "./subscription.ts";

/** With each field, if only as undefined: objects of one shape take a third of the memory. */
type Complete<Type> = { [Field in keyof Required<Type>]: Type[Field] };

/** A message with everything that is known of how it was sent: all attempts, its repeats too, are one message. */
export interface Message extends Complete<Sent> {
  target: string;
  kindOfTarget: "topic" | "queue";
  /** When the first attempt began. */
  begin: number;
  /** When the first success was there; Infinity without one. */
  acknowledged: number;
  /** Whether an attempt may have stored it: false when all were refused. */
  possible: boolean;
  /** Each once. */
  ids: readonly string[];
  client: string;
}

/** Receives of one message in one queue between its arrival there and its end: counts go 1, 2, 3. */
export interface Stay {
  message: Message | undefined;
  value: string;
  queue: QueueOfWorld;
  /** By receive count; without those that were taken back as not received. */
  receives: Receive[];
  /** Receives of the same message in the queue that may have been taken back, or may not. */
  uncertain: number;
}

type OfSubscription = "subscribe" | "unsubscribe" | "refilter";
type OfQueue = "receive" | "purge" | "redrive" | "redrives" | "pause" | "resume" | "cancel";

/** A history, arranged for the checks: each looks things up here and walks the calls no second time. */
export class Indexed {
  readonly world: World;
  readonly calm: Calm;
  readonly clock: DatabaseClock;
  /** Of each kind of key by itself: those that were all left without an answer have tested nothing. */
  readonly outcomes: Record<string, Record<Call["outcome"], number>> = {};
  readonly messages = new Map<string, Message>();
  readonly queues = new Map<string, QueueOfWorld>();
  /** Of a value, in whatever queue. */
  readonly receives = new Map<string, readonly Receive[]>();
  /** Receives whose handle another one had brought before. */
  readonly repeatedHandles: ReadonlySet<Receive>;
  readonly #late: number;
  readonly #progress: Progress;
  /** But for publishes, sends, acknowledgements and changes of visibility, of which nothing more than that is asked. */
  readonly #calls = new Map<OperationName, Call[]>();
  /** What was worked out, once for all messages. */
  readonly #known = new Map<string, unknown>();

  constructor(history: History, progress: Progress = silent) {
    const { world, calls, wallOffsetMs, lateMs = Infinity, faults, jumps } = history;
    this.world = world;
    this.calm = new Calm(faults);
    this.clock = new DatabaseClock(wallOffsetMs, jumps);
    this.#late = lateMs * 1e6;
    this.#progress = progress;
    for (const queue of world.queues) this.queues.set(queue.name, queue);
    const handles = new Handles();
    for (const call of calls) {
      const counts = (this.outcomes[nameOf(call)] ??= { ok: 0, fail: 0, unknown: 0 });
      counts[call.outcome] += 1;
      this.#take(call, handles);
    }
    this.repeatedHandles = handles.finish();
  }

  /** All messages that somebody meant to send; how far a check has come is told meanwhile. */
  sent(): Iterable<Message> {
    return this.#progress.through(this.messages.values(), this.messages.size);
  }

  /** All values that were received, with their receives by queue; likewise. */
  *received(): Generator<[string, Map<string, Receive[]>]> {
    const { receives } = this;
    for (const [value, all] of this.#progress.through(receives, receives.size))
      yield [value, grouped(all, ({ queue }) => queue)];
  }

  calls<Name extends OfQueue | OfSubscription | "knock">(operation: Name): CallOf<Name>[] {
    return (this.#calls.get(operation) ?? []) as unknown as CallOf<Name>[];
  }

  /** Calls on one queue that had, or may have had, their effect. */
  effective<Name extends OfQueue>(operation: Name, queue: string): CallOf<Name>[] {
    const byQueue = this.#once(`effective ${operation}`, () => {
      const all = this.calls(operation) as CallOf<OfQueue>[];
      const had = all.filter(({ outcome }) => outcome !== "fail");
      return grouped(had, ({ request }) => request.queue);
    });
    return (byQueue.get(queue) ?? []) as CallOf<Name>[];
  }

  /** The times of the same calls. */
  spans(operation: OfQueue, queue: string): Spans {
    return this.#once(
      `spans ${operation} ${queue}`,
      () => new Spans(this.effective(operation, queue)),
    );
  }

  /** Redrives of a dead-letter queue, each from its call until nothing is moved by it any more. */
  redrives(queue: string): Spans {
    return this.#once(`redrives ${queue}`, () => {
      // A queue has one at a time: none runs, so all before are over.
      const none = this.effective("redrives", queue).filter(
        ({ response }) => response?.running === false,
      );
      const looks = new Spans(none);
      return new Spans(
        this.effective("redrive", queue).map(({ begin, end }) => {
          const due = this.calm.dueAfter(end, SLOWEST_REDRIVE);
          return { begin, end: Math.min(looks.earliestEnd(end), due) };
        }),
      );
    });
  }

  /** How many receives that nobody knows what they brought can have brought a message between two moments. */
  unseenReceives(queue: string, from: number, until: number): number {
    const unknown = this.#once(`unknown receives ${queue}`, () => {
      const all = this.effective("receive", queue);
      return new Spans(all.filter(({ outcome }) => outcome === "unknown"));
    });
    return Math.max(0, unknown.begunBefore(until) - unknown.endedBefore(from));
  }

  /** Ids of messages that were, or may have been, taken back out of a queue. */
  cancelled(queue: string): ReadonlySet<string> {
    return this.#once(
      `cancelled ${queue}`,
      () => new Set(this.effective("cancel", queue).map(({ request }) => request.id)),
    );
  }

  subscription(topic: string, queue: string): Subscription {
    return this.#once(`subscription ${topic} ${queue}`, () => {
      const isIt = ({ request, outcome }: CallOf<"subscribe"> | CallOf<"unsubscribe">) =>
        request.topic === topic && request.queue === queue && outcome !== "fail";
      const atFirst = this.world.subscriptions.some(
        (one) => one.topic === topic && one.queue === queue,
      );
      const always = { begin: -Infinity, end: -Infinity, outcome: "ok" as const };
      const subscribed = this.calls("subscribe").filter(isIt);
      return new Subscription(
        atFirst ? [always, ...subscribed] : subscribed,
        this.calls("unsubscribe").filter(isIt),
      );
    });
  }

  /** Undefined where there was no subscription at first: later ones have none. */
  policy(topic: string, queue: string): Policy | undefined {
    return this.#once(`policy ${topic} ${queue}`, () => {
      const isIt = (one: { topic: string; queue: string }) =>
        one.topic === topic && one.queue === queue;
      const atFirst = this.world.subscriptions.find(isIt);
      const changes = this.calls("refilter").filter(
        ({ request, outcome }) => isIt(request) && outcome !== "fail",
      );
      return atFirst && new Policy(atFirst.kinds, changes);
    });
  }

  /** The queues that were subscribed to a topic at any time, or may have been. */
  subscribedQueues(topic: string): string[] {
    return this.#once(`subscribed ${topic}`, () => {
      const later = this.calls("subscribe").map(({ request }) => request);
      const all = [...this.world.subscriptions, ...later].filter((one) => one.topic === topic);
      return [...new Set(all.map(({ queue }) => queue))];
    });
  }

  /** The queue and the one that its dead letters go to. */
  family(queue: QueueOfWorld): string[] {
    return queue.deadLetterQueue === undefined ? [queue.name] : [queue.name, queue.deadLetterQueue];
  }

  /** The queues whose dead letters go there. */
  sources(name: string): QueueOfWorld[] {
    return this.#once(`sources ${name}`, () =>
      this.world.queues.filter((queue) => queue.deadLetterQueue === name),
    );
  }

  /** The dead-letter queues that a redrive empties into a queue, or out of it. */
  redrivenQueues(name: string): string[] {
    return this.#once(`redriven ${name}`, () => {
      const related = this.world.queues.filter((queue) =>
        [queue.name, queue.deadLetterQueue].includes(name),
      );
      return [...new Set(related.flatMap(({ deadLetterQueue }) => deadLetterQueue ?? []))];
    });
  }

  /** The latest moment at which a call has its effect, if it has any. */
  latestEffect({ begin, end, outcome }: Span & { outcome: string }): number {
    return outcome === "unknown" ? begin + this.#late : end;
  }

  /** All receives of a value in these queues. */
  receivesIn(value: string, queues: readonly string[]): Receive[] {
    return (this.receives.get(value) ?? []).filter(({ queue }) => queues.includes(queue));
  }

  /** The stays that the receives of a value in one queue belong to. */
  stays(value: string, name: string, all: readonly Receive[]): Stay[] {
    const queue = this.queues.get(name) ?? { name, visibilityTimeout: 30 };
    const message = this.messages.get(value);
    const counted = all.filter(({ isTakenBack }) => isTakenBack === "no");
    const uncertain = all.filter(({ isTakenBack }) => isTakenBack === "perhaps").length;
    const stays = grouped(counted, ({ id, firstAt }) => `${id}/${firstAt}`);
    return Array.from(stays.values(), (receives) => {
      receives.sort((a, b) => a.count - b.count || a.end - b.end);
      return { message, value, queue, receives, uncertain };
    });
  }

  #take(call: Call, handles: Handles): void {
    switch (call.operation) {
      case "publish":
      case "send":
        this.#takeWrite(call);
        break;
      case "acknowledge":
      case "visibility":
        handles.used(call);
        break;
      case "receive":
        this.#takeReceive(call, handles);
        push(this.#calls, call.operation, this.#bounded(call));
        break;
      default:
        push(this.#calls, call.operation, this.#bounded(call));
    }
  }

  /**
   * One with an unknown outcome is over when it cannot have its effect any more: else it would be an excuse for the
   * rest of a run.
   */
  #bounded(call: Call): Call {
    return call.outcome === "unknown" ? { ...call, end: this.latestEffect(call) } : call;
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
      if (!known.ids.includes(result.id)) known.ids = [...known.ids, result.id];
    });
  }

  #takeReceive(call: CallOf<"receive">, handles: Handles): void {
    const { queue } = call.request;
    const timeout = call.request.timeout ?? this.queues.get(queue)?.visibilityTimeout ?? 30;
    call.response?.forEach((message, position) => {
      const receive = new Receive(call, position, { message, timeout });
      handles.brought(receive);
      // A list of the size that it needs: one that grows has room for seventeen.
      const { value } = message;
      this.receives.set(value, [...(this.receives.get(value) ?? []), receive]);
    });
  }

  #once<Found>(key: string, find: () => Found): Found {
    if (!this.#known.has(key)) this.#known.set(key, find());
    return this.#known.get(key) as Found;
  }
}

/** How often one takes as long as anything else: 1,200 messages, 20 a second, take a minute. */
const SLOWEST_REDRIVE = 4;

const none: readonly string[] = [];

function nameOf(call: Call): string {
  return call.operation === "knock" ? `knock, key: ${call.request.key}` : call.operation;
}

function newMessage(sent: Sent, call: CallOf<"publish"> | CallOf<"send">): Message {
  const toTopic = call.operation === "publish";
  const { value, digest, delay, group, deduplicationId, kind } = sent;
  return {
    value,
    digest,
    delay,
    group,
    deduplicationId,
    kind,
    target: toTopic ? call.request.topic : call.request.queue,
    kindOfTarget: toTopic ? "topic" : "queue",
    begin: call.begin,
    acknowledged: Infinity,
    possible: false,
    ids: none,
    client: call.client,
  };
}

export function grouped<Value>(
  values: Iterable<Value>,
  keyOf: (value: Value) => string,
): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) push(groups, keyOf(value), value);
  return groups;
}

export function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
