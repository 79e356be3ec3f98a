import { setTimeout } from "node:timers/promises";

import { SQSClient } from "@aws-sdk/client-sqs";
import {
  connect,
  createAdmin,
  queue,
  type Admin,
  type Connection,
  type FilterPolicy,
} from "@sluice/client";
import { createConsumer, type Consumer } from "@sluice/consumer";
import { createProducer, type Producer } from "@sluice/producer";
import { bearer, type AccessKey } from "@sluice/stack";

/** Bytes of payloads that are more than an API remembers (64 MiB). */
const PAYLOADS = 80 * 2 ** 20;

/** One topic and its queues, which are there all the time and always consumed. */
const subscribed = ["shipping", "billing", "search", "audit", "mail"];

/** What the messages are that these filter policies accept. */
export const KIND = "passing";

/**
 * What subscriptions filter by that come and go. They share these with others that are there all the time: compiled
 * ones are remembered until there are 128 MiB of them, so more and more for hours.
 */
export const policies: readonly [FilterPolicy, FilterPolicy] = [
  { kind: [KIND] },
  { kind: [{ prefix: "pass" }] },
];

/** What the chores of a soak work on. */
export class World implements AsyncDisposable {
  readonly url: string;
  /** Of whoever is let in. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connection: Connection;
  readonly sqs: SQSClient;
  readonly admin: Admin;
  readonly producer: Producer;
  /** Of this run, so that one installation can be soaked again and again. */
  readonly #run = Date.now().toString(36);
  readonly #consumers: Consumer<string>[] = [];
  readonly #running: Promise<void>[] = [];
  #count = 0;

  constructor(url: string, key?: AccessKey) {
    this.url = url;
    this.headers = key ? bearer(key) : {};
    this.connection = connect({ url, headers: this.headers });
    const { id: accessKeyId, secret: secretAccessKey } = key ?? { id: "any", secret: "any" };
    this.sqs = new SQSClient({
      endpoint: url,
      region: "us-east-1",
      credentials: { accessKeyId, secretAccessKey },
    });
    this.admin = createAdmin(this.connection);
    this.producer = createProducer(this.connection);
  }

  /** The name of something that is there for the whole run. */
  readonly lasting = (name: string): string => `soak-${this.#run}-${name}`;

  /** A name that nothing had before. */
  readonly unique = (): string => this.lasting(String((this.#count += 1)));

  async set(): Promise<void> {
    const { queues, topics } = this.admin;
    await topics.create(this.lasting("orders"), { archive: { days: 1 } });
    await queues.create(this.lasting("dead"));
    await queues.create(this.lasting("groups.fifo"), { contentBasedDeduplication: true });
    for (const name of subscribed) {
      const redrive = { deadLetterQueue: this.lasting("dead"), maxReceiveCount: 2 };
      await queues.create(this.lasting(name), { redrive });
      await this.admin.subscribe(this.lasting("orders"), this.lasting(name));
    }
    await topics.create(this.lasting("kinds"));
    for (const [index, filterPolicy] of policies.entries())
      await this.admin.subscribe(this.lasting("kinds"), this.lasting(subscribed[index]!), {
        filterPolicy,
      });
    for (const name of [...subscribed, "dead", "groups.fifo"]) this.#consume(name);
  }

  /** An API remembers payloads until it has as many as it may: from now on it has. */
  async fillPayloads(): Promise<void> {
    const bodies = Array.from({ length: 10 }, () => "z".repeat(PAYLOADS / 200));
    for (let round = 0; round < 20; round += 1)
      await this.producer.sendAll(queue(this.lasting("search")), bodies);
    while ((await this.admin.queues.get(this.lasting("search"))).counts.visible > 0)
      await setTimeout(100);
  }

  /** Now and then a handler fails, so that there are dead letters. */
  #consume(name: string): void {
    const consumer = createConsumer(this.connection, queue(this.lasting(name)), {
      onError: () => undefined,
    });
    this.#consumers.push(consumer);
    const running = consumer.run(({ body }) => {
      if (name === "mail" && body.endsWith("7")) throw new Error("no such address");
    });
    running.catch(() => undefined);
    this.#running.push(running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#consumers.map(async (consumer) => consumer.stop()));
    await Promise.all(this.#running);
    await this.producer.close();
    const names = [...subscribed, "dead", "groups.fifo"];
    for (const name of names) await this.admin.queues.delete(this.lasting(name));
    for (const name of ["orders", "kinds"]) await this.admin.topics.delete(this.lasting(name));
    this.sqs.destroy();
  }
}
