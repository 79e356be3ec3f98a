import fc from "fast-check";
import { afterAll, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { type ReceivedMessage } from "./client.ts";
import { until } from "./interleaving.ts";
import { ModelQueue } from "./model.ts";

const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);
const runs = Number(process.env["TEST_RUNS"] ?? 60);

const broker = await Broker.start({ engines: 2, dispatchers: 2 });
afterAll(() => broker[Symbol.asyncDispose]());

/** Half a minute past a whole one, so that no deadline meets the present; see ModelQueue. */
const timeout = fc.nat({ max: 9 }).map((minutes) => minutes * 60 + 30);
const by = fc.nat({ max: 1 });
const queue = fc.nat({ max: 1 });
/** Which of all messages received so far, as fractions of their number: old handles and foreign ones too. */
const picks = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  minLength: 1,
  maxLength: 40,
});
const maxMessages = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1_000 }));

const step = fc.oneof(
  fc.record({
    do: fc.constant("send" as const),
    by,
    queue,
    count: fc.integer({ min: 1, max: 70 }),
  }),
  fc.record({
    do: fc.constant("send delayed" as const),
    by,
    queue,
    delays: fc.array(fc.oneof(fc.constant(0), timeout), { minLength: 1, maxLength: 10 }),
  }),
  fc.record({ do: fc.constant("publish" as const), by, count: fc.integer({ min: 1, max: 70 }) }),
  fc.record({ do: fc.constant("receive" as const), by, queue, maxMessages, timeout }),
  fc.record({
    do: fc.constant("receive together" as const),
    queue,
    each: fc.array(fc.record({ by, maxMessages, timeout }), { minLength: 2, maxLength: 5 }),
  }),
  fc.record({ do: fc.constant("acknowledge" as const), by, picks }),
  fc.record({ do: fc.constant("acknowledge together" as const), picks }),
  fc.record({
    do: fc.constant("hide" as const),
    by,
    picks,
    timeout: fc.oneof(fc.constant(0), timeout),
  }),
  fc.record({ do: fc.constant("wait" as const), minutes: fc.integer({ min: 1, max: 10 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

test(
  `any sequence of calls does what the model says (seed ${seed})`,
  { timeout: 20_000 + runs * 1_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const run = await Run.begin();
        for (const each of steps) {
          await run.take(each);
          await run.compareCounts();
        }
        await run.finish();
      }),
      { seed, numRuns: runs, endOnFailure: process.env["CI"] === undefined },
    );
  },
);

/** Two real queues beside two modelled ones, both subscribed to a topic, and every handle that was ever handed out. */
class Run {
  readonly #queues: readonly { name: string; model: ModelQueue }[];
  readonly #topic: string;
  readonly #received: (ReceivedMessage & { queue: number })[] = [];
  #now = 0;
  #bodies = 0;

  private constructor(names: readonly string[], topic: string) {
    this.#queues = names.map((name) => ({ name, model: new ModelQueue() }));
    this.#topic = topic;
  }

  static async begin(): Promise<Run> {
    const names = [await broker.newQueue(), await broker.newQueue()];
    return new Run(names, await broker.newTopic(names));
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "send":
        return await this.#send(
          step.by,
          step.queue,
          Array.from({ length: step.count }, () => 0),
        );
      case "send delayed":
        return await this.#send(step.by, step.queue, step.delays);
      case "publish":
        return await this.#publish(step.by, step.count);
      case "receive":
        return await this.#receive(step.queue, [step]);
      case "receive together":
        return await this.#receive(step.queue, step.each);
      case "acknowledge":
        return await this.#acknowledge(step.by, this.#picked(step.picks));
      case "acknowledge together":
        return await this.#acknowledgeTogether(this.#picked(step.picks));
      case "hide":
        return await this.#hide(step.by, this.#picked(step.picks), step.timeout);
      case "wait":
        this.#now += step.minutes * 60;
        return await broker.clock.advance(step.minutes * 60);
      default:
        return step satisfies never;
    }
  }

  async compareCounts(): Promise<void> {
    for (const { name, model } of this.#queues) {
      expect(await broker.counts(name)).toEqual(model.counts(this.#now));
    }
  }

  /** Nothing is lost: what was not acknowledged comes, once everything is visible; then nothing is left. */
  async finish(): Promise<void> {
    await this.take({ do: "wait", minutes: 60 });
    for (const [index, { name, model }] of this.#queues.entries()) {
      while (model.visible(this.#now).length > 0) {
        const before = this.#received.length;
        await this.#receive(index, [{ by: 0, maxMessages: 1_000, timeout: 30 }]);
        await this.#acknowledge(1, this.#received.slice(before));
      }
      expect(await broker.client().receive(name)).toEqual([]);
      const id = await broker.idOf(name);
      expect(await broker.sql`SELECT FROM slices WHERE queue_id = ${id}::bigint`).toHaveLength(0);
    }
  }

  async #send(by: number, queue: number, delays: readonly number[]): Promise<void> {
    const { name, model } = this.#queueAt(queue);
    const messages = delays.map((delay) => ({ body: this.#nextBody(), delay }));
    const ids = await broker.client(by).send(name, messages);
    messages.forEach(({ body, delay }, index) => {
      model.add(ids[index] ?? "", body, this.#now + delay);
    });
  }

  async #publish(by: number, count: number): Promise<void> {
    const bodies = Array.from({ length: count }, () => this.#nextBody());
    const ids = await broker.client(by).publish(this.#topic, bodies);
    await until(async () => (await broker.waitingBatches()).length === 0);
    for (const { model } of this.#queues) {
      bodies.forEach((body, index) => {
        model.add(ids[index] ?? "", body, this.#now);
      });
    }
  }

  async #receive(
    queue: number,
    calls: readonly { by: number; maxMessages: number; timeout: number }[],
  ): Promise<void> {
    const { name, model } = this.#queueAt(queue);
    const visible = model.visible(this.#now).length;
    const answers = await Promise.all(
      calls.map(async ({ by, maxMessages, timeout }) => {
        const options = { maxMessages, visibilityTimeout: timeout };
        return { maxMessages, timeout, messages: await broker.client(by).receive(name, options) };
      }),
    );
    for (const { maxMessages, timeout, messages } of answers) {
      expect(messages.length).toBeLessThanOrEqual(maxMessages);
      for (const message of messages) {
        model.received(message, this.#now, this.#now + timeout);
        this.#received.push({ ...message, queue });
      }
    }
    if (calls.length === 1) expect(answers[0]?.messages.length === 0).toBe(visible === 0);
  }

  async #acknowledge(by: number, picked: readonly (ReceivedMessage & { queue: number })[]) {
    for (const [index, { name, model }] of this.#queues.entries()) {
      const messages = distinct(picked.filter((message) => message.queue === index));
      if (messages.length === 0) continue;
      const expected = messages.map(({ messageId, handle }) =>
        model.acknowledge(messageId, handle),
      );
      expect(await broker.client(by).acknowledge(name, messages)).toEqual(expected);
    }
  }

  /** Each message in a call of its own, by turns in one process and in the other. */
  async #acknowledgeTogether(picked: readonly (ReceivedMessage & { queue: number })[]) {
    const messages = distinct(picked);
    const expected = messages.map(({ queue, messageId, handle }) =>
      this.#queueAt(queue).model.acknowledge(messageId, handle),
    );
    const outcomes = await Promise.all(
      messages.map(async (message, index) => {
        const [outcome] = await broker
          .client(index % 2)
          .acknowledge(this.#queueAt(message.queue).name, [message]);
        return outcome;
      }),
    );
    expect(outcomes).toEqual(expected);
  }

  async #hide(
    by: number,
    picked: readonly (ReceivedMessage & { queue: number })[],
    timeout: number,
  ): Promise<void> {
    for (const [index, { name, model }] of this.#queues.entries()) {
      const messages = distinct(picked.filter((message) => message.queue === index));
      if (messages.length === 0) continue;
      const times = { now: this.#now, visibleAt: this.#now + timeout };
      const expected = messages.map(({ messageId, handle }) =>
        model.hide(messageId, handle, times),
      );
      expect(await broker.client(by).hide(name, messages, timeout)).toEqual(expected);
    }
  }

  #picked(picks: readonly number[]): (ReceivedMessage & { queue: number })[] {
    return picks.flatMap((pick) => this.#received[Math.floor(pick * this.#received.length)] ?? []);
  }

  #queueAt(index: number): { name: string; model: ModelQueue } {
    const queue = this.#queues[index];
    if (!queue) throw new Error(`there is no queue ${index}`);
    return queue;
  }

  #nextBody(): string {
    this.#bodies += 1;
    return `m${this.#bodies}`;
  }
}

function distinct<Message extends { handle: string }>(messages: readonly Message[]): Message[] {
  return [...new Map(messages.map((message) => [message.handle, message])).values()];
}
