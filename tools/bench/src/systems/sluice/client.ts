import {
  connect,
  createAdmin,
  queue as declareQueue,
  topic as declareTopic,
  type QueueSettings,
} from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer, type SendOptions } from "@sluice/producer";

import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import { inParts } from "../in-parts.ts";
import type { Client, Take } from "../client.ts";

/** The published SDK over HTTP, as any service uses it. */
export class SluiceClient implements Client {
  readonly #url: string;
  readonly #connection: ReturnType<typeof connect>;
  readonly #admin: ReturnType<typeof createAdmin>;
  readonly #producer: ReturnType<typeof createProducer>;
  readonly #batching: boolean;
  readonly #load: Load;

  constructor({ url = "", batching }: Address, load: Load) {
    this.#url = url;
    this.#batching = batching !== "off";
    this.#connection = connect({ url });
    this.#admin = createAdmin(this.#connection);
    this.#producer = createProducer(this.#connection, { batching: this.#batching });
    this.#load = load;
  }

  async create({ topic, queues }: Names): Promise<void> {
    const settings: QueueSettings & { fifo?: boolean } =
      this.#load.groups === undefined ? {} : { fifo: true };
    if (this.#load.via === "topic") await this.#admin.topics.create(topic);
    await inParts(queues, async (queue) => {
      await this.#admin.queues.create(queue, settings);
      if (this.#load.via === "topic") await this.#admin.subscribe(topic, queue);
    });
  }

  async remove({ topic, queues }: Names): Promise<void> {
    await inParts(queues, async (queue) => this.#admin.queues.delete(queue));
    if (this.#load.via === "topic") await this.#admin.topics.delete(topic);
  }

  async publish({ topic }: Names, bodies: string[]): Promise<void> {
    const [only] = bodies;
    if (only !== undefined && bodies.length === 1)
      await this.#producer.publish(declareTopic(topic), only);
    else await this.#producer.publishAll(declareTopic(topic), bodies);
  }

  async send(queue: string, bodies: string[], first: number): Promise<void> {
    const { groups } = this.#load;
    const each = (_: string, index: number): SendOptions & { deduplicationId?: string } => ({
      groupId: `group-${(first + index) % (groups ?? 1)}`,
      deduplicationId: `${first + index}`,
    });
    await this.#producer.sendAll(declareQueue(queue), bodies, groups === undefined ? {} : { each });
  }

  consume(
    queue: string,
    { receiveBatch, receivers }: Load,
    take: Take,
  ): Promise<() => Promise<void>> {
    // Consumers of one connection share calls.
    const connection = this.#batching ? this.#connection : connect({ url: this.#url });
    const consumer = createConsumer(connection, declareQueue(queue), {
      batchSize: receiveBatch,
      receivers,
      onError: ({ stage, error }) => {
        console.error(stage, error);
      },
    });
    const running = consumer.runBatches((messages) => {
      take(messages.map(({ body }) => stampOf(body)));
    });
    // What it rejects with is thrown by stop; until then it must not count as unhandled.
    running.catch(() => undefined);
    return Promise.resolve(async () => {
      await consumer.stop();
      await running;
    });
  }

  async left(queue: string): Promise<number> {
    const { counts } = await this.#admin.queues.get(queue);
    return counts.visible + counts.inFlight + counts.delayed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#producer.close();
  }
}
