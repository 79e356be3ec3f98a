import type { Delivered } from "../history/history.ts";
import type { Random } from "../random.ts";
import { Story } from "./story.ts";

interface Resting {
  value: string;
  queue: string;
  visibleAt: number;
  count: number;
  firstAt: number;
  handle: string;
}

const VISIBILITY = 5;
const MAX_RECEIVES = 2;
const KINDS = ["red", "green"];

/**
 * Plays a broker that keeps every promise to clients whose network does not, and tells the story: each call has its
 * effect or not when its outcome is unknown, and everything is drained at the end. Tests of the checker only.
 */
export class ImaginedBroker {
  readonly story = new Story({}, { lateMs: 100 });
  readonly #random: Random;
  #resting: Resting[] = [];
  #time = 1;
  #values = 0;
  #handles = 0;
  #held: Resting[] = [];
  /** What a topic's second queue wants. */
  #wanted: readonly string[] = KINDS;

  constructor(random: Random) {
    this.#random = random;
  }

  /** This many calls of any kind, and then receives and acknowledgements until nothing rests. */
  play(calls: number): Story {
    for (let call = 0; call < calls; call += 1) this.#next();
    for (let round = 0; this.#resting.length > 0; round += 1) {
      if (round > 10_000) throw new Error("the imagined broker does not come to rest");
      this.#time += 1;
      for (const queue of ["queue", "other", "retry", "dead"]) {
        this.#settle(this.#receive(queue, "ok"), "ok");
      }
    }
    return this.story;
  }

  #next(): void {
    this.#time += this.#random();
    const outcome = this.#random() < 0.3 ? "unknown" : "ok";
    const choice = this.#random();
    if (choice < 0.15) this.#publish(outcome);
    else if (choice < 0.3) this.#send(this.#pick(["queue", "retry"]), outcome);
    else if (choice < 0.7) this.#held.push(...this.#receive(this.#anyQueue(), outcome));
    else if (choice < 0.9) this.#settle(this.#held.splice(0, 1), outcome);
    else if (choice < 0.95) this.#hide(outcome);
    else if (choice < 0.97) this.#redrive(outcome);
    else if (choice < 0.985) this.#refilter(outcome);
    else this.#purge(outcome);
  }

  #publish(outcome: "ok" | "unknown"): void {
    const value = this.#value();
    const kind = this.#pick(KINDS);
    this.story.publish(this.#span(), { value, kind });
    if (!this.#happens(outcome)) return;
    this.#store(value, "queue");
    if (this.#wanted.includes(kind)) this.#store(value, "other");
  }

  #send(queue: string, outcome: "ok" | "unknown"): void {
    const value = this.#value();
    this.story.send(this.#span(), queue, value);
    if (this.#happens(outcome)) this.#store(value, queue);
  }

  #receive(queue: string, outcome: "ok" | "unknown"): Resting[] {
    const span = this.#span();
    const reaches = outcome === "ok" || this.#random() < 0.5;
    const got: Resting[] = [];
    for (const message of this.#resting) {
      if (!reaches || message.queue !== queue || message.visibleAt > this.#time || got.length === 3)
        continue;
      if (queue === "retry" && message.count === MAX_RECEIVES) {
        Object.assign(message, { queue: "dead", count: 0, firstAt: 0, visibleAt: this.#time });
        continue;
      }
      message.count += 1;
      message.firstAt ||= Math.round(this.#time * 1_000);
      // The deadline counts from the claim, which comes last in this call's span.
      message.visibleAt = this.#time + VISIBILITY;
      this.#handles += 1;
      message.handle = `imagined ${this.#handles}`;
      got.push(message);
    }
    const answer: Partial<Delivered>[] = got.map(({ value, count, firstAt, handle }) => ({
      value,
      count,
      firstAt,
      handle,
    }));
    this.story.receive(span, queue, ...answer);
    if (outcome === "unknown") this.#forgetOutcome();
    return outcome === "ok" ? got.map((message) => ({ ...message })) : [];
  }

  #settle(receives: Resting[], outcome: "ok" | "unknown"): void {
    if (receives.length === 0) return;
    for (const { handle, queue } of receives) {
      const message = this.#holder(handle, queue);
      this.story.acknowledge(
        this.#span(),
        queue,
        [handle],
        message === undefined ? "receipt_handle_expired" : "ok",
      );
      if (!this.#happens(outcome)) continue;
      this.#resting = this.#resting.filter((one) => one !== message);
    }
  }

  #hide(outcome: "ok" | "unknown"): void {
    const [receive] = this.#held;
    if (receive === undefined) return;
    const { handle, queue } = receive;
    const message = this.#holder(handle, queue);
    const timeout = this.#random() < 0.5 ? 0 : 9;
    const held = message !== undefined && message.visibleAt > this.#time;
    const entries = [{ handle, timeout }];
    const span = this.#span();
    this.story.call("visibility", span, { queue, entries }, [
      held ? "ok" : "message_not_in_flight",
    ]);
    if (this.#happens(outcome) && held) message.visibleAt = this.#time + timeout;
  }

  #redrive(outcome: "ok" | "unknown"): void {
    this.story.call("redrive", this.#span(), { queue: "dead" }, null);
    const happens = this.#happens(outcome);
    this.story.call("redrives", this.#span(), { queue: "dead" }, { running: false });
    if (!happens) return;
    for (const message of this.#resting) {
      if (message.queue !== "dead" || message.visibleAt > this.#time) continue;
      Object.assign(message, { queue: "retry", count: 0, firstAt: 0, handle: "" });
    }
  }

  #refilter(outcome: "ok" | "unknown"): void {
    const kinds = KINDS.filter(() => this.#random() < 0.5);
    this.story.call("refilter", this.#span(), { topic: "topic", queue: "other", kinds }, null);
    if (this.#happens(outcome)) this.#wanted = kinds;
  }

  #purge(outcome: "ok" | "unknown"): void {
    this.story.call("purge", this.#span(), { queue: "other" }, null);
    if (this.#happens(outcome))
      this.#resting = this.#resting.filter(({ queue }) => queue !== "other");
  }

  /** Whether it takes effect; what the story has just told becomes unknown when its outcome is. */
  #happens(outcome: "ok" | "unknown"): boolean {
    if (outcome === "ok") return true;
    this.#forgetOutcome();
    return this.#random() < 0.5;
  }

  #forgetOutcome(): void {
    const last = this.story.calls.at(-1);
    if (last !== undefined)
      Object.assign(last, { outcome: "unknown", end: Infinity, response: undefined });
  }

  #holder(handle: string, queue: string): Resting | undefined {
    return this.#resting.find((message) => message.handle === handle && message.queue === queue);
  }

  #store(value: string, queue: string): void {
    const visibleAt = this.#time;
    this.#resting.push({ value, queue, visibleAt, count: 0, firstAt: 0, handle: "" });
  }

  /** A call begins at the present moment, has its effect 10 ms later and ends in between that and 10 ms more. */
  #span(): { at: number; until: number } {
    const at = this.#time;
    this.#time += 0.02;
    return { at, until: this.#time };
  }

  #value(): string {
    this.#values += 1;
    return `m${this.#values}`;
  }

  #anyQueue(): string {
    return this.#pick(["queue", "other", "retry", "dead"]);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item;
  }
}
