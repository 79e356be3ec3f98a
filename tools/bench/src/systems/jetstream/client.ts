import {
  AckPolicy,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type JetStreamClient,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { connect, nanos, type NatsConnection } from "@nats-io/transport-node";

import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import type { Client, Take } from "../client.ts";
import { inParts } from "../in-parts.ts";

/** A topic is a stream that keeps what any consumer is still to get; a queue is a durable pull consumer of it. */
export class JetStreamQueues implements Client {
  readonly #connection: NatsConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #via: Load["via"];

  private constructor(connection: NatsConnection, manager: JetStreamManager, load: Load) {
    this.#connection = connection;
    this.#js = jetstream(connection);
    this.#manager = manager;
    this.#via = load.via;
  }

  static async open({ servers = "" }: Address, load: Load): Promise<JetStreamQueues> {
    const connection = await connect({ servers });
    return new JetStreamQueues(connection, await jetstreamManager(connection), load);
  }

  async create({ topic, queues }: Names): Promise<void> {
    if (this.#via === "topic") await this.#addStream(topic);
    await inParts(queues, async (queue) => {
      if (this.#via === "queues") await this.#addStream(queue);
      await this.#manager.consumers.add(this.#streamOf(queue), {
        durable_name: queue,
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(60_000),
        max_ack_pending: 50_000,
      });
    });
  }

  async #addStream(name: string): Promise<void> {
    await this.#manager.streams.add({
      name,
      subjects: [name],
      retention: RetentionPolicy.Interest,
      storage: StorageType.File,
    });
  }

  /** The name of a queue is its topic's and a number: see `namesOf`. */
  #streamOf(queue: string): string {
    return this.#via === "queues" ? queue : queue.replace(/-\d+$/, "");
  }

  async remove({ topic, queues }: Names): Promise<void> {
    const streams = this.#via === "topic" ? [topic] : queues;
    await inParts(streams, async (stream) => this.#manager.streams.delete(stream));
  }

  async publish({ topic }: Names, bodies: string[]): Promise<void> {
    await Promise.all(bodies.map(async (body) => this.#js.publish(topic, body)));
  }

  async send(queue: string, bodies: string[]): Promise<void> {
    await Promise.all(bodies.map(async (body) => this.#js.publish(queue, body)));
  }

  async consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>> {
    const consumer = await this.#js.consumers.get(this.#streamOf(queue), queue);
    const messages = await consumer.consume({
      max_messages: load.receiveBatch * load.receivers,
      callback: (message) => {
        take([stampOf(message.string())]);
        message.ack();
      },
    });
    return async () => {
      await messages.close();
      // The answer to this ping comes after every acknowledgement before it has been read.
      await this.#connection.flush();
    };
  }

  async left(queue: string): Promise<number> {
    const info = await this.#manager.consumers.info(this.#streamOf(queue), queue);
    return info.num_pending + info.num_ack_pending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}
