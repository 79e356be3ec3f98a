import fc from "fast-check";
import { expect } from "vitest";

import { ACCOUNT } from "../broker.ts";
import { EITHER_WAY, type ModelQueue } from "./model-queue.ts";
import { FIFO, MAX_RECEIVES, STANDARD, type Held, type Model, type World } from "./world.ts";

type Command = fc.AsyncCommand<Model, World>;
type Take = (model: Model, world: World) => Promise<void>;

/** One step: taken by the model and by the real queues, and compared after it. */
class Step implements Command {
  readonly #title: string;
  readonly #take: Take;

  constructor(title: string, take: Take) {
    this.#title = title;
    this.#take = take;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, world: World): Promise<void> {
    for (const queue of model.queues) queue.expire(model.now);
    await this.#take(model, world);
    await world.expectAsModelled(model);
  }

  toString(): string {
    return this.#title;
  }
}

function step<Values extends object>(
  title: string,
  values: fc.Arbitrary<Values>,
  take: (values: Values, model: Model, world: World) => Promise<void>,
): fc.Arbitrary<Command> {
  return values.map(
    (of) => new Step(`${title} ${JSON.stringify(of)}`, (model, world) => take(of, model, world)),
  );
}

/** Half a minute past a whole one, so that no deadline meets the present; see ModelQueue. */
const timeout = fc.nat({ max: 9 }).map((minutes) => minutes * 60 + 30);
/** So near to twelve hours that a minute later it is too long. */
const nearlyTwelveHours = fc.constant(43_170);
const by = fc.nat({ max: 1 });
const standardQueue = fc.constantFrom(...Object.values(STANDARD));
const fifoQueue = fc.constantFrom(...Object.values(FIFO));
const queue = fc.oneof(standardQueue, fifoQueue);
const picks = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
  minLength: 1,
  maxLength: 30,
});
const maxMessages = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1_000 }));
const fifoMessage = fc.record({
  group: fc.nat({ max: 3 }),
  /** Few ids, so that duplicates are frequent; undefined is one that is new. */
  deduplication: fc.option(fc.nat({ max: 4 }), { nil: undefined, freq: 2 }),
});

/** Everything that can be done to queues, by several processes, in any order. */
export const commands = [
  step(
    "send",
    fc.record({ by, queue: standardQueue, count: fc.integer({ min: 1, max: 70 }) }),
    sendMany,
  ),
  step(
    "send delayed",
    fc.record({
      by,
      queue: standardQueue,
      delays: fc.array(fc.oneof(fc.constant(0), timeout), { minLength: 1, maxLength: 10 }),
    }),
    send,
  ),
  step("publish", fc.record({ by, count: fc.integer({ min: 1, max: 70 }) }), publish),
  step(
    "send in groups",
    fc.record({
      by,
      queue: fifoQueue,
      messages: fc.array(fifoMessage, { minLength: 1, maxLength: 12 }),
    }),
    sendInGroups,
  ),
  step("receive", fc.record({ by, queue, maxMessages, timeout }), receiveAlone),
  step(
    "receive together",
    fc.record({
      queue,
      each: fc.array(fc.record({ by, maxMessages, timeout }), { minLength: 2, maxLength: 5 }),
    }),
    receive,
  ),
  step("acknowledge", fc.record({ by, picks }), acknowledge),
  step("acknowledge together", fc.record({ picks }), acknowledgeTogether),
  step(
    "hide",
    fc.record({ by, picks, timeout: fc.oneof(fc.constant(0), timeout, nearlyTwelveHours) }),
    hide,
  ),
  step("give back as not received", fc.record({ by, picks }), giveBack),
  step("wait", fc.record({ minutes: fc.integer({ min: 1, max: 10 }) }), wait),
  step("redrive to source", fc.record({ kind: fc.constantFrom(STANDARD, FIFO) }), redriveToSource),
  step("redrive elsewhere", fc.record({ kind: fc.constantFrom(STANDARD, FIFO) }), redriveElsewhere),
  step("purge", fc.record({ by, queue }), purge),
  step("pause or resume", fc.record({ queue }), pauseOrResume),
  step("cancel", fc.record({ by, pick: fc.double({ min: 0, max: 0.999, noNaN: true }) }), cancel),
  // What single steps come to once in a thousand runs.
  step(
    "fail until dead, fail as dead letters, redrive",
    fc.record({ by, kind: fc.constantFrom(STANDARD, FIFO), elsewhere: fc.boolean() }),
    failAndRedrive,
  ),
  step(
    "send in groups, and the same ids later",
    fc.record({
      by,
      queue: fifoQueue,
      messages: fc.array(fifoMessage, { minLength: 1, maxLength: 4 }),
      minutes: fc.integer({ min: 3, max: 6 }),
    }),
    sendAgainLater,
  ),
  step(
    "cancel what is in flight, and what is delayed",
    fc.record({ by, queue: standardQueue }),
    cancelInEachState,
  ),
  step(
    "acknowledge by late handles what others have received and hidden",
    fc.record({ by, queue, count: fc.integer({ min: 1, max: 5 }) }),
    acknowledgeLate,
  ),
];

/**
 * Everything is known; nothing is lost: what was not acknowledged comes, once everything is visible; then nothing is
 * left.
 */
export async function finish(model: Model, world: World): Promise<void> {
  await world.expectTraced(model);
  for (const [index, queue] of model.queues.entries()) {
    if (queue.paused) await world.pause(index, false);
    queue.paused = false;
  }
  await wait({ minutes: 12 * 60 }, model, world);
  for (const queue of model.queues) queue.expire(model.now);
  // Sources first: what they have left over goes to their dead-letter queues.
  for (const index of [0, 1, 3, 4, 6, 2, 5]) {
    for (;;) {
      const before = world.held.length;
      await receive(
        { queue: index, each: [{ by: 0, maxMessages: 1_000, timeout: 30 }] },
        model,
        world,
      );
      const held = world.held.slice(before);
      if (held.length === 0) break;
      await acknowledgeIn({ by: 1, index, messages: held }, model, world);
    }
  }
  await world.expectAsModelled(model);
  await world.expectTraced(model);
  expect(model.queues.flatMap(({ all }) => all)).toEqual([]);
}

async function sendMany(
  { by: engine, queue: index, count }: { by: number; queue: number; count: number },
  model: Model,
  world: World,
): Promise<void> {
  await send(
    { by: engine, queue: index, delays: Array.from({ length: count }, () => 0) },
    model,
    world,
  );
}

async function send(
  { by: engine, queue: index, delays }: { by: number; queue: number; delays: readonly number[] },
  model: Model,
  world: World,
): Promise<void> {
  const messages = delays.map((delay) => ({ body: world.newBody(), delay }));
  const ids = await world.broker.client(engine).send(world.name(index), messages);
  messages.forEach(({ body, delay }, position) => {
    const messageId = ids[position] ?? "";
    modelled(model, index).add({ messageId, body, sentAt: model.now }, model.now + delay);
    if (delay > 0) world.delayed.push({ queue: index, messageId });
  });
}

async function publish(
  { by: engine, count }: { by: number; count: number },
  model: Model,
  world: World,
): Promise<void> {
  const bodies = Array.from({ length: count }, () => world.newBody());
  const ids = await world.broker.client(engine).publish(world.topic, bodies);
  await world.broker.untilFannedOut();
  for (const index of [STANDARD.source, STANDARD.plain]) {
    bodies.forEach((body, position) => {
      const messageId = ids[position] ?? "";
      modelled(model, index).add({ messageId, body, sentAt: model.now }, model.now);
    });
  }
}

async function sendInGroups(
  {
    by: engine,
    queue: index,
    messages,
  }: {
    by: number;
    queue: number;
    messages: readonly { group: number; deduplication: number | undefined }[];
  },
  model: Model,
  world: World,
): Promise<void> {
  const contents = messages.map(({ group, deduplication }) => {
    const body = world.newBody();
    return { body, groupId: `g${group}`, deduplicationId: `${deduplication ?? body}` };
  });
  const ids = await world.broker.client(engine).send(world.name(index), contents);
  const queue = modelled(model, index);
  contents.forEach(({ body, groupId, deduplicationId }, position) => {
    const messageId = ids[position] ?? "";
    const original = queue.duplicateOf(deduplicationId, model.now);
    if (original === undefined) {
      expect(queue.find(messageId)).toBeUndefined();
      queue.accept(deduplicationId, messageId, model.now);
      queue.add({ messageId, body, groupId, sentAt: model.now }, model.now);
    } else {
      expect(messageId).toBe(original);
    }
  });
}

async function receiveAlone(
  call: { by: number; queue: number; maxMessages: number; timeout: number },
  model: Model,
  world: World,
): Promise<void> {
  await receive({ queue: call.queue, each: [call] }, model, world);
}

async function receive(
  {
    queue: index,
    each,
  }: {
    queue: number;
    each: readonly { by: number; maxMessages: number; timeout: number }[];
  },
  model: Model,
  world: World,
): Promise<void> {
  const queue = modelled(model, index);
  const wasReceivable = queue.receivable(model.now).length > 0;
  const answers = await Promise.all(
    each.map(async ({ by: engine, maxMessages: max, timeout: visibilityTimeout }) => {
      const options = { maxMessages: max, visibilityTimeout };
      const messages = await world.broker.client(engine).receive(world.name(index), options);
      return { max, visibilityTimeout, messages };
    }),
  );
  await world.noteDeadLetters(model, index);
  for (const { max, visibilityTimeout, messages } of answers) {
    expect(messages.length).toBeLessThanOrEqual(max);
    queue.received(messages, model.now, visibilityTimeout);
    for (const message of messages) world.held.push({ ...message, queue: index });
  }
  if (each.length === 1) expect((answers[0]?.messages.length ?? 0) > 0).toBe(wasReceivable);
}

async function acknowledge(
  { by: engine, picks: of }: { by: number; picks: readonly number[] },
  model: Model,
  world: World,
): Promise<void> {
  for (const [index, messages] of byQueue(world.picked(of)))
    await acknowledgeIn({ by: engine, index, messages }, model, world);
}

async function acknowledgeIn(
  { by: engine, index, messages }: { by: number; index: number; messages: readonly Held[] },
  model: Model,
  world: World,
): Promise<void> {
  const expected = messages.map(({ messageId, handle }) =>
    modelled(model, index).acknowledge(messageId, handle),
  );
  const outcomes = await world.broker.client(engine).acknowledge(world.name(index), messages);
  expectOutcomes(outcomes, expected);
}

/** Each message in a call of its own, by turns in one process and in the other. */
async function acknowledgeTogether(
  { picks: of }: { picks: readonly number[] },
  model: Model,
  world: World,
): Promise<void> {
  const messages = world.picked(of);
  const expected = messages.map(({ queue: index, messageId, handle }) =>
    modelled(model, index).acknowledge(messageId, handle),
  );
  const outcomes = await Promise.all(
    messages.map(async (message, position) => {
      const client = world.broker.client(position % 2);
      const [outcome] = await client.acknowledge(world.name(message.queue), [message]);
      return outcome;
    }),
  );
  expectOutcomes(outcomes, expected);
}

async function hide(
  {
    by: engine,
    picks: of,
    timeout: seconds,
  }: { by: number; picks: readonly number[]; timeout: number },
  model: Model,
  world: World,
): Promise<void> {
  for (const [index, messages] of byQueue(world.picked(of)))
    await hideIn({ by: engine, index, messages, seconds }, model, world);
}

async function giveBack(
  { by: engine, picks: of }: { by: number; picks: readonly number[] },
  model: Model,
  world: World,
): Promise<void> {
  for (const [index, messages] of byQueue(world.picked(of)))
    await hideIn({ by: engine, index, messages, seconds: 0, received: false }, model, world);
}

async function hideIn(
  {
    by: engine,
    index,
    messages,
    seconds,
    received = true,
  }: {
    by: number;
    index: number;
    messages: readonly Held[];
    seconds: number;
    received?: boolean;
  },
  model: Model,
  world: World,
): Promise<void> {
  const change = { now: model.now, timeout: seconds, received };
  const expected = messages.map(({ messageId, handle }) =>
    modelled(model, index).hide(messageId, handle, change),
  );
  const client = world.broker.client(engine);
  const outcomes = await client.hide(world.name(index), messages, seconds, received);
  expectOutcomes(outcomes, expected);
}

async function wait({ minutes }: { minutes: number }, model: Model, world: World): Promise<void> {
  model.now += minutes * 60;
  await world.broker.clock.advance(minutes * 60);
}

async function redriveToSource(
  { kind }: { kind: typeof STANDARD | typeof FIFO },
  model: Model,
  world: World,
): Promise<void> {
  await world.redrive(kind.deadLetters, undefined);
  modelled(model, kind.deadLetters).redrive(undefined, model.now);
}

async function redriveElsewhere(
  { kind }: { kind: typeof STANDARD | typeof FIFO },
  model: Model,
  world: World,
): Promise<void> {
  await world.redrive(kind.deadLetters, kind.spare);
  modelled(model, kind.deadLetters).redrive(modelled(model, kind.spare), model.now);
}

async function purge(
  { by: engine, queue: index }: { by: number; queue: number },
  model: Model,
  world: World,
): Promise<void> {
  await world.broker.client(engine).engine.purge(ACCOUNT, world.name(index));
  modelled(model, index).purge();
}

async function pauseOrResume(
  { queue: index }: { queue: number },
  model: Model,
  world: World,
): Promise<void> {
  const queue = modelled(model, index);
  queue.paused = !queue.paused;
  await world.pause(index, queue.paused);
}

/** A message that was sent with a delay, whatever became of it since. */
async function cancel(
  { by: engine, pick }: { by: number; pick: number },
  model: Model,
  world: World,
): Promise<void> {
  const message = world.delayed[Math.floor(pick * world.delayed.length)];
  if (message) await cancelOne({ by: engine, message }, model, world);
}

async function cancelOne(
  { by: engine, message }: { by: number; message: { queue: number; messageId: string } },
  model: Model,
  world: World,
): Promise<void> {
  const wasDelayed = modelled(model, message.queue).cancel(message.messageId, model.now);
  const cancelled = await world.broker
    .client(engine)
    .engine.cancelDelayed(ACCOUNT, world.name(message.queue), message.messageId)
    .then(
      () => true,
      (error: unknown) => {
        expect(error).toMatchObject({ code: "message_not_found" });
        return false;
      },
    );
  expect(cancelled).toBe(wasDelayed);
}

/** Time passes between the parts of one step. */
async function later(minutes: number, model: Model, world: World): Promise<void> {
  await wait({ minutes }, model, world);
  for (const queue of model.queues) queue.expire(model.now);
}

/** Receives all that can be had of a queue, and lets it become visible again. */
async function failAll(
  call: { by: number; queue: number },
  model: Model,
  world: World,
): Promise<void> {
  await receiveAlone({ ...call, maxMessages: 1_000, timeout: 30 }, model, world);
  await later(1, model, world);
}

async function failAndRedrive(
  {
    by: engine,
    kind,
    elsewhere,
  }: { by: number; kind: typeof STANDARD | typeof FIFO; elsewhere: boolean },
  model: Model,
  world: World,
): Promise<void> {
  for (let receives = 0; receives <= MAX_RECEIVES; receives += 1)
    await failAll({ by: engine, queue: kind.source }, model, world);
  await failAll({ by: engine, queue: kind.deadLetters }, model, world);
  await (elsewhere ? redriveElsewhere : redriveToSource)({ kind }, model, world);
}

async function sendAgainLater(
  {
    minutes,
    ...call
  }: {
    by: number;
    queue: number;
    messages: readonly { group: number; deduplication: number | undefined }[];
    minutes: number;
  },
  model: Model,
  world: World,
): Promise<void> {
  await sendInGroups(call, model, world);
  await later(minutes, model, world);
  await sendInGroups(call, model, world);
}

/** What became visible is received first, and hidden for longer; the last one is still delayed. */
async function cancelInEachState(
  { by: engine, queue: index }: { by: number; queue: number },
  model: Model,
  world: World,
): Promise<void> {
  const before = world.delayed.length;
  await send({ by: engine, queue: index, delays: [30, 30, 30, 330] }, model, world);
  await later(1, model, world);
  const held = world.held.length;
  const call = { by: engine, queue: index };
  await receiveAlone({ ...call, maxMessages: 1_000, timeout: 90 }, model, world);
  await hideIn({ by: engine, index, messages: world.held.slice(held), seconds: 150 }, model, world);
  for (const message of world.delayed.slice(before))
    await cancelOne({ by: engine, message }, model, world);
}

async function acknowledgeLate(
  { by: engine, queue: index, count }: { by: number; queue: number; count: number },
  model: Model,
  world: World,
): Promise<void> {
  const before = world.held.length;
  const call = { by: engine, queue: index, maxMessages: count };
  await receiveAlone({ ...call, timeout: 30 }, model, world);
  const late = world.held.slice(before);
  await later(1, model, world);
  await receiveAlone({ ...call, maxMessages: 1_000, timeout: 30 }, model, world);
  const held = world.held.slice(before + late.length);
  await hideIn({ by: engine, index, messages: held, seconds: 150 }, model, world);
  await acknowledgeIn({ by: 1 - engine, index, messages: late }, model, world);
}

function expectOutcomes(
  outcomes: readonly (string | undefined)[],
  expected: readonly string[],
): void {
  const compared = outcomes.map((outcome, index) =>
    expected[index] === EITHER_WAY ? EITHER_WAY : outcome,
  );
  expect(compared).toEqual(expected);
}

function modelled(model: Model, index: number): ModelQueue {
  const queue = model.queues[index];
  if (!queue) throw new Error(`there is no queue ${index}`);
  return queue;
}

function byQueue(messages: readonly Held[]): Map<number, Held[]> {
  const queues = new Map<number, Held[]>();
  for (const message of messages) {
    const held = queues.get(message.queue) ?? [];
    held.push(message);
    queues.set(message.queue, held);
  }
  return queues;
}
