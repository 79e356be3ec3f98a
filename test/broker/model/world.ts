import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives, type Queue } from "@sluice/engine";
import { expect } from "vitest";

import { ACCOUNT, type Broker } from "../broker.ts";
import type { ReceivedMessage } from "../client.ts";
import { change } from "../dead-letters.ts";
import { ModelQueue, stateOf, type ModelSettings } from "./model-queue.ts";

/** Every message that was ever handed out, with the queue it came from. */
export type Held = ReceivedMessage & { queue: number };

/** What the model knows: its clock, and each queue. */
export interface Model {
  now: number;
  queues: readonly ModelQueue[];
}

/** Half an hour and half a minute, so that nothing expires at a whole minute; see {@link ModelQueue}. */
const SHORT_RETENTION = 1_830;
const FOUR_DAYS = 345_600;
export const MAX_RECEIVES = 2;
/** The queues of a run by their place in it. */
export const STANDARD = { source: 0, plain: 1, deadLetters: 2, spare: 3 } as const;
export const FIFO = { source: 4, deadLetters: 5, spare: 6 } as const;

/** Messages of a run that are traced, about. */
const TRACED = 30;
/** What a trace calls what the model calls so. */
const RESTING = { visible: "waiting", inFlight: "inFlight", delayed: "delayed" };

const NEVER = new AbortController().signal;
const bus = createInProcessBus();
let runs = 0;

/** The real queues of one run, beside the modelled ones, and every handle that was ever handed out. */
export class World {
  readonly broker: Broker;
  readonly topic: string;
  readonly names: readonly string[];
  readonly held: Held[] = [];
  /** Ids of everything that was sent with a delay. */
  readonly delayed: { queue: number; messageId: string }[] = [];
  #bodies = 0;

  private constructor(broker: Broker, topic: string, names: readonly string[]) {
    this.broker = broker;
    this.topic = topic;
    this.names = names;
  }

  /** Two standard queues that share a topic, a third one beside them, two FIFO queues, and the dead-letter queues. */
  static async begin(broker: Broker): Promise<{ model: Model; real: World }> {
    runs += 1;
    const settings = settingsOf(`run-${runs}`);
    for (const { name, fifo, retention, redrive } of inCreationOrder(settings)) {
      await broker.engine.queues.create(ACCOUNT, name, {
        fifo,
        retention,
        contentBasedDeduplication: false,
        redrive: redrive
          ? { deadLetterQueue: redrive.to.settings.name, maxReceiveCount: redrive.maxReceiveCount }
          : null,
      });
    }
    const names = settings.map(({ name }) => name);
    const topic = await broker.newTopic([
      names[STANDARD.source] ?? "",
      names[STANDARD.plain] ?? "",
    ]);
    const queues = settings.map(({ queue }) => queue);
    return { model: { now: 0, queues }, real: new World(broker, topic, names) };
  }

  name(queue: number): string {
    const name = this.names[queue];
    if (name === undefined) throw new Error(`there is no queue ${queue}`);
    return name;
  }

  newBody(): string {
    this.#bodies += 1;
    return `m${this.#bodies}`;
  }

  /** What these fractions pick of all messages received so far: old handles and those of others too. */
  picked(picks: readonly number[]): Held[] {
    const picked = picks.flatMap((pick) => this.held[Math.floor(pick * this.held.length)] ?? []);
    return [...new Map(picked.map((message) => [message.handle, message])).values()];
  }

  async pause(queue: number, paused: boolean): Promise<void> {
    await change(this.broker.client(), this.name(queue), { paused });
  }

  /** Starts a redrive and carries it on to its end, as the dispatchers' duty does. */
  async redrive(queue: number, destination: number | undefined): Promise<void> {
    const { redrives } = this.broker.engine;
    const source = await this.#row(queue);
    const task = await redrives.start(source, {
      destination: destination === undefined ? undefined : await this.#row(destination),
    });
    for (;;) {
      const { sql, observer } = this.broker;
      await carryOnRedrives({ sql, bus, observer, signal: NEVER });
      const now = await redrives.find(source, task.id);
      if (now?.status === "completed") return;
    }
  }

  /** Tells the model which messages have become dead letters; it refuses those that must not have. */
  async noteDeadLetters(model: Model, queue: number): Promise<void> {
    const source = model.queues[queue];
    const to = source?.settings.redrive?.to;
    if (!source || !to) return;
    for (const { messageId } of await this.#everything(model.queues.indexOf(to)))
      if (!to.find(messageId)) source.bury(messageId, model.now);
  }

  /** Each queue has exactly what the model says, in the state that the model says, counted and looked at. */
  async expectAsModelled(model: Model): Promise<void> {
    for (const [index, queue] of model.queues.entries()) {
      queue.expire(model.now);
      const modelled = queue.all.map((delivery) => ({
        messageId: delivery.messageId,
        body: delivery.body,
        state: stateOf(delivery, model.now),
        receiveCount: delivery.receiveCount,
      }));
      expect(byId(await this.#everything(index))).toEqual(byId(modelled));
      expect(await this.broker.counts(this.name(index))).toEqual(queue.counts(model.now));
    }
  }

  /**
   * The traces of some messages (a whole run has too many) tell each delivery that the model has had, and how it ended
   * or is.
   */
  async expectTraced(model: Model): Promise<void> {
    const ever = model.queues.flatMap((queue) =>
      queue.ever.map((delivery) => ({
        messageId: delivery.messageId,
        queue: queue.settings.name,
        state: delivery.end ?? RESTING[stateOf(delivery, model.now)],
      })),
    );
    const ids = [...new Set(ever.map(({ messageId }) => messageId))];
    const every = Math.ceil(ids.length / TRACED);
    for (const messageId of ids.filter((_, index) => index % every === 0)) {
      const { deliveries, complete } = await this.broker.engine.trace(ACCOUNT, messageId);
      const modelled = ever.filter((delivery) => delivery.messageId === messageId);
      const traced = deliveries.map(({ queue, state }) => {
        // What had expired, and was not removed yet, a purge has removed as well, or whoever held it.
        const expired = modelled.some((of) => of.queue === queue && of.state === "expired");
        return `${queue}: ${expired && (state === "purged" || state === "acknowledged") ? "expired" : state}`;
      });
      expect(traced.sort()).toEqual(
        modelled.map(({ queue, state }) => `${queue}: ${state}`).sort(),
      );
      expect(complete).toBe(true);
    }
  }

  async #row(queue: number): Promise<Queue> {
    const row = await this.broker.engine.queues.find(ACCOUNT, this.name(queue));
    if (!row) throw new Error(`there is no queue ${queue}`);
    return row;
  }

  /** All pages of a peek. */
  async #everything(queue: number) {
    const messages: { messageId: string; body: string; state: string; receiveCount: number }[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.broker.engine.peek(ACCOUNT, this.name(queue), { cursor, limit: 100 });
      for (const { messageId, body, state, receiveCount } of page.messages)
        messages.push({ messageId, body, state, receiveCount });
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return messages;
  }
}

interface RunQueue extends ModelSettings {
  queue: ModelQueue;
}

function settingsOf(run: string): RunQueue[] {
  const make = (settings: ModelSettings): RunQueue => ({
    ...settings,
    queue: new ModelQueue(settings),
  });
  const standard = { fifo: false, retention: FOUR_DAYS };
  const fifo = { fifo: true, retention: FOUR_DAYS };
  const deadLetters = make({ ...standard, name: `${run}-dead` });
  const fifoDeadLetters = make({ ...fifo, name: `${run}-dead.fifo` });
  const dying = (to: RunQueue) => ({ redrive: { to: to.queue, maxReceiveCount: MAX_RECEIVES } });
  return [
    make({ ...standard, name: `${run}-source`, ...dying(deadLetters) }),
    make({ ...standard, name: `${run}-plain`, retention: SHORT_RETENTION }),
    deadLetters,
    make({ ...standard, name: `${run}-spare` }),
    make({ ...fifo, name: `${run}-source.fifo`, ...dying(fifoDeadLetters) }),
    fifoDeadLetters,
    make({ ...fifo, name: `${run}-spare.fifo`, retention: SHORT_RETENTION }),
  ];
}

/** A dead-letter queue has to be there before its source. */
function inCreationOrder(settings: readonly RunQueue[]): RunQueue[] {
  return [...settings].sort((a, b) => Number(Boolean(a.redrive)) - Number(Boolean(b.redrive)));
}

function byId<Message extends { messageId: string }>(messages: readonly Message[]): Message[] {
  return [...messages].sort((a, b) => (a.messageId < b.messageId ? -1 : 1));
}
