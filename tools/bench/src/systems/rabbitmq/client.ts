import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import type { Client, Take } from "../client.ts";
import { inParts } from "../in-parts.ts";
import { loadPeer } from "../peers.ts";

/** What is used of amqplib. */
interface Amqplib {
  connect(url: string): Promise<Connection>;
}
interface Connection {
  createChannel(): Promise<Channel>;
  createConfirmChannel(): Promise<ConfirmChannel>;
  close(): Promise<void>;
}
interface Channel {
  assertExchange(name: string, type: string, options: object): Promise<unknown>;
  deleteExchange(name: string): Promise<unknown>;
  assertQueue(name: string, options: object): Promise<unknown>;
  deleteQueue(name: string): Promise<unknown>;
  checkQueue(name: string): Promise<{ messageCount: number }>;
  bindQueue(queue: string, exchange: string, key: string): Promise<unknown>;
  prefetch(count: number): Promise<unknown>;
  consume(
    queue: string,
    onMessage: (message: Message | null) => void,
  ): Promise<{ consumerTag: string }>;
  cancel(consumerTag: string): Promise<unknown>;
  ack(message: Message, allUpTo: boolean): void;
  close(): Promise<void>;
}
interface ConfirmChannel extends Channel {
  publish(
    exchange: string,
    key: string,
    body: Buffer,
    options: object,
    onConfirm: (error: unknown) => void,
  ): boolean;
}
interface Message {
  content: Buffer;
}

/** A topic is a fanout exchange; every queue is consumed on a channel of its own. */
export class RabbitMqClient implements Client {
  readonly #connection: Connection;
  readonly #channel: ConfirmChannel;
  readonly #load: Load;
  readonly #queueType: string;

  private constructor(
    connection: Connection,
    channel: ConfirmChannel,
    { load, queueType }: { load: Load; queueType: string },
  ) {
    this.#connection = connection;
    this.#channel = channel;
    this.#load = load;
    this.#queueType = queueType;
  }

  static async open(
    { url = "", queueType = "classic" }: Address,
    load: Load,
  ): Promise<RabbitMqClient> {
    const connection = await (loadPeer("amqplib") as Amqplib).connect(url);
    const channel = await connection.createConfirmChannel();
    return new RabbitMqClient(connection, channel, { load, queueType });
  }

  async create({ topic, queues }: Names): Promise<void> {
    const arguments_ = { "x-queue-type": this.#queueType };
    await this.#channel.assertExchange(topic, "fanout", { durable: true });
    await inParts(queues, async (queue) => {
      await this.#channel.assertQueue(queue, { durable: true, arguments: arguments_ });
      if (this.#load.via === "topic") await this.#channel.bindQueue(queue, topic, "");
    });
  }

  async remove({ topic, queues }: Names): Promise<void> {
    await inParts(queues, async (queue) => this.#channel.deleteQueue(queue));
    await this.#channel.deleteExchange(topic);
  }

  async publish({ topic }: Names, bodies: string[]): Promise<void> {
    await Promise.all(bodies.map(async (body) => this.#publish(topic, "", body)));
  }

  async send(queue: string, bodies: string[]): Promise<void> {
    await Promise.all(bodies.map(async (body) => this.#publish("", queue, body)));
  }

  async #publish(exchange: string, key: string, body: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#channel.publish(exchange, key, Buffer.from(body), { persistent: true }, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error("a publish was refused"));
      });
    });
  }

  /** What has come by the end of a turn of the event loop is acknowledged as one. */
  async consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>> {
    const channel = await this.#connection.createChannel();
    await channel.prefetch(load.receiveBatch * load.receivers);
    let arrived: Message[] = [];
    const takeAll = () => {
      const messages = arrived;
      arrived = [];
      take(messages.map(({ content }) => stampOf(content.toString())));
      const last = messages.at(-1);
      if (last !== undefined) channel.ack(last, true);
    };
    const { consumerTag } = await channel.consume(queue, (message) => {
      if (message === null) return;
      if (arrived.length === 0) setImmediate(takeAll);
      arrived.push(message);
    });
    // What is answered has been read, and the acknowledgements before it. Those of a quorum queue are kept back where
    // many are under way, and forgotten by a channel that closes (200 to 900 of 5,000 single ones, measured): a cancel
    // goes through the queue's log after them, and by the next answer the channel has sent on what it kept.
    return async () => {
      await channel.cancel(consumerTag);
      await channel.checkQueue(queue);
      await channel.close();
    };
  }

  /** What was not acknowledged is ready again once its channel is closed. */
  async left(queue: string): Promise<number> {
    return (await this.#channel.checkQueue(queue)).messageCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}
