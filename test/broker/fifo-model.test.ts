import fc from "fast-check";
import { afterAll, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import type { ReceivedMessage } from "./client.ts";
import { ModelFifo } from "./fifo-model.ts";

const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);
const runs = Number(process.env["TEST_RUNS"] ?? 60);

const broker = await Broker.start({ engines: 2, dispatchers: 1 });
afterAll(() => broker[Symbol.asyncDispose]());

/** Half a minute past a whole one, so that no deadline meets the present; see ModelQueue. */
const timeout = fc.nat({ max: 9 }).map((minutes) => minutes * 60 + 30);
const by = fc.nat({ max: 1 });
const groupId = fc.constantFrom("a", "b", "c", "d", "e");
/** Which of all messages received so far, as fractions of their number: old handles too. */
const picks = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  minLength: 1,
  maxLength: 40,
});
const maxMessages = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1_000 }));

const step = fc.oneof(
  fc.record({
    do: fc.constant("send" as const),
    by,
    groups: fc.array(groupId, { minLength: 1, maxLength: 80 }),
  }),
  fc.record({ do: fc.constant("send again" as const), by, picks }),
  fc.record({ do: fc.constant("receive" as const), by, maxMessages, timeout }),
  fc.record({
    do: fc.constant("receive together" as const),
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
  fc.record({ do: fc.constant("give back as not received" as const), by, picks }),
  fc.record({ do: fc.constant("wait" as const), minutes: fc.integer({ min: 1, max: 10 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

test(
  `any sequence of calls on a FIFO queue does what the model says (seed ${seed})`,
  { timeout: 60_000 + runs * 12_000 },
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

interface Sent {
  groupId: string;
  body: string;
  messageId: string;
  at: number;
}

/** A real FIFO queue beside a modelled one, and every handle that was ever handed out. */
class Run {
  readonly #queue: string;
  readonly #model = new ModelFifo();
  readonly #sent: Sent[] = [];
  readonly #received: ReceivedMessage[] = [];
  #now = 0;

  private constructor(queue: string) {
    this.#queue = queue;
  }

  static async begin(): Promise<Run> {
    return new Run(await broker.newQueue({ fifo: true }));
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "send":
        return await this.#send(step.by, step.groups);
      case "send again":
        return await this.#sendAgain(step.by, picked(this.#sent, step.picks));
      case "receive":
        return await this.#receive([step]);
      case "receive together":
        return await this.#receive(step.each);
      case "acknowledge":
        return await this.#acknowledge(step.by, picked(this.#received, step.picks));
      case "acknowledge together":
        return await this.#acknowledgeTogether(picked(this.#received, step.picks));
      case "hide":
        return await this.#hide(step.by, picked(this.#received, step.picks), step.timeout);
      case "give back as not received":
        return await this.#hide(step.by, picked(this.#received, step.picks), 0, false);
      case "wait":
        this.#now += step.minutes * 60;
        return await broker.clock.advance(step.minutes * 60);
      default:
        return step satisfies never;
    }
  }

  async compareCounts(): Promise<void> {
    expect(await broker.counts(this.#queue)).toEqual(this.#model.counts(this.#now));
  }

  /** Nothing is lost: what was not acknowledged comes, once everything is visible; then nothing is left. */
  async finish(): Promise<void> {
    await this.take({ do: "wait", minutes: 60 });
    while (this.#model.available(this.#now).length > 0) {
      const before = this.#received.length;
      await this.#receive([{ by: 0, maxMessages: 1_000, timeout: 30 }]);
      await this.#acknowledge(1, this.#received.slice(before));
    }
    expect(await broker.client().receive(this.#queue)).toEqual([]);
    const id = await broker.idOf(this.#queue);
    expect(await broker.sql`SELECT FROM fifo_slices WHERE queue_id = ${id}::bigint`).toEqual([]);
    expect(await broker.sql`SELECT FROM fifo_groups WHERE queue_id = ${id}::bigint`).toEqual([]);
  }

  async #send(by: number, groups: readonly string[]): Promise<void> {
    const messages = groups.map((groupId, index) => {
      const body = `m${this.#sent.length + index}`;
      return { groupId, body, deduplicationId: body };
    });
    const ids = await broker.client(by).send(this.#queue, messages);
    messages.forEach(({ groupId, body }, index) => {
      const messageId = ids[index] ?? "";
      this.#model.add(groupId, messageId, body, this.#now);
      this.#sent.push({ groupId, body, messageId, at: this.#now });
    });
  }

  /** Within five minutes they are answered with what is there; half a minute and more from the end on both sides. */
  async #sendAgain(by: number, sent: readonly Sent[]): Promise<void> {
    const recent = sent.filter(({ at }) => this.#now - at < 270);
    if (recent.length === 0) return;
    const messages = recent.map(({ body }) => ({
      groupId: "z",
      body: "again",
      deduplicationId: body,
    }));
    expect(await broker.client(by).send(this.#queue, messages)).toEqual(
      recent.map(({ messageId }) => messageId),
    );
  }

  async #receive(
    calls: readonly { by: number; maxMessages: number; timeout: number }[],
  ): Promise<void> {
    const available = this.#model.available(this.#now).length;
    const answers = await Promise.all(
      calls.map(async ({ by, maxMessages, timeout }) => {
        const options = { maxMessages, visibilityTimeout: timeout };
        const messages = await broker.client(by).receive(this.#queue, options);
        return { maxMessages, timeout, messages };
      }),
    );
    for (const { maxMessages, timeout, messages } of answers) {
      expect(messages.length).toBeLessThanOrEqual(maxMessages);
      this.#model.received(messages, this.#now, this.#now + timeout);
      this.#received.push(...messages);
    }
    if (calls.length === 1) expect(answers[0]?.messages.length === 0).toBe(available === 0);
  }

  async #acknowledge(by: number, picks: readonly ReceivedMessage[]): Promise<void> {
    const messages = distinct(picks);
    if (messages.length === 0) return;
    const expected = messages.map((message) => this.#model.acknowledge(message));
    expect(await broker.client(by).acknowledge(this.#queue, messages)).toEqual(expected);
  }

  /** Each message in a call of its own, by turns in one process and in the other. */
  async #acknowledgeTogether(picks: readonly ReceivedMessage[]): Promise<void> {
    const messages = distinct(picks);
    const expected = messages.map((message) => this.#model.acknowledge(message));
    const outcomes = await Promise.all(
      messages.map(async (message, index) => {
        const [outcome] = await broker.client(index % 2).acknowledge(this.#queue, [message]);
        return outcome;
      }),
    );
    expect(outcomes).toEqual(expected);
  }

  async #hide(
    by: number,
    picks: readonly ReceivedMessage[],
    timeout: number,
    received = true,
  ): Promise<void> {
    const messages = distinct(picks);
    if (messages.length === 0) return;
    const change = { now: this.#now, visibleAt: this.#now + timeout, received };
    const expected = messages.map((message) => this.#model.hide(message, change));
    const outcomes = await broker.client(by).hide(this.#queue, messages, timeout, received);
    expect(outcomes).toEqual(expected);
  }
}

function picked<Item>(items: readonly Item[], picks: readonly number[]): Item[] {
  return picks.flatMap((pick) => items[Math.floor(pick * items.length)] ?? []);
}

function distinct<Message extends { handle: string }>(messages: readonly Message[]): Message[] {
  return [...new Map(messages.map((message) => [message.handle, message])).values()];
}
