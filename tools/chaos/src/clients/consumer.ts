import { queue as declareQueue, type Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { between, pick } from "../random.ts";
import type { Client } from "./client.ts";
import type { QueueOfWorld } from "../history/history.ts";

interface Held {
  receiptHandle: string;
}

/** Consumes every queue: most messages are acknowledged, the others in every other way that consumers have. */
export async function consume(client: Client): Promise<void> {
  const { queues } = client.settings.world;
  const bySdk = new Set(["handled", "bulk"]);
  const byHand = queues.filter(({ name }) => !bySdk.has(name));
  // Consumers of one connection share their calls.
  const connection = pick(client.random, client.connections);
  await Promise.all([
    ...byHand.map((queue) => consumeByHand(client, queue)),
    consumeTogether(client, byHand),
    handle(client, connection),
    handleInBulk(client, connection),
  ]);
}

/** The SDK's consumer, with a handler that fails now and then. */
async function handle(client: Client, connection: Connection): Promise<void> {
  const consumer = createConsumer(connection, declareQueue("handled"), {
    wait: 1,
    // Enough to keep up: with five at a time it was two minutes behind after a quarter of an hour of faults.
    concurrency: 20,
    signal: client.stopping.signal,
    drainTimeoutMs: 2_000,
    backoff: () => 1,
    onError: () => {},
  });
  await consumer.run(async (message) => {
    await client.pause(client.random() * 20);
    if (!client.draining.signal.aborted && client.random() < 0.05) throw new Error("failed");
    if (client.random() < 0.02) await message.extend(6);
  });
}

async function handleInBulk(client: Client, connection: Connection): Promise<void> {
  const consumer = createConsumer(connection, declareQueue("bulk"), {
    wait: 1,
    signal: client.stopping.signal,
    drainTimeoutMs: 2_000,
    backoff: () => 1,
    onError: () => {},
  });
  await consumer.runBatches(async () => {
    await client.pause(client.random() * 30);
    if (!client.draining.signal.aborted && client.random() < 0.05) throw new Error("failed");
  });
}

async function consumeByHand(client: Client, queue: QueueOfWorld): Promise<void> {
  const worker = new Worker(client, queue);
  await client.loop(client.stopping.signal, () => worker.step());
}

/** Receives from several queues by one call, and acknowledges by the next one what that brought. */
async function consumeTogether(client: Client, queues: readonly QueueOfWorld[]): Promise<void> {
  const { random, stopping, draining } = client;
  let held = new Map<string, Held[]>();
  await client.loop(stopping.signal, async () => {
    const acknowledged = held;
    held = new Map();
    const some = queues.filter(({ name }) => acknowledged.has(name) || random() < 0.5);
    const receives = some.map(({ name: queue }) => {
      const receiptHandles = acknowledged.get(queue)?.map(({ receiptHandle }) => receiptHandle);
      const acknowledge = receiptHandles && { acknowledge: { receiptHandles } };
      return { queue, maxMessages: between(random, 1, 20), ...acknowledge };
    });
    if (receives.length > 0) {
      const call = { method: "POST", path: "/v1/receive", body: { receives, wait: 1 } } as const;
      const { results } = (await client.request({ ...call, waitMs: 1_000 })) as {
        results: { messages?: Held[] }[];
      };
      results.forEach(({ messages = [] }, index) => {
        if (messages.length > 0) held.set(receives[index]?.queue ?? "", messages);
      });
    }
    await client.pause(random() * (draining.signal.aborted ? 50 : 500));
  });
}

/** A consumer that knows only the HTTP API, and does with each message what it pleases. */
class Worker {
  readonly #client: Client;
  readonly #queue: QueueOfWorld;
  readonly #isDeadLetters: boolean;

  constructor(client: Client, queue: QueueOfWorld) {
    this.#client = client;
    this.#queue = queue;
    this.#isDeadLetters = client.settings.world.queues.some(
      ({ deadLetterQueue }) => deadLetterQueue === queue.name,
    );
  }

  async step(): Promise<void> {
    const { random, draining } = this.#client;
    const isDraining = draining.signal.aborted;
    const wait = random() < 0.7 ? 1 : 0;
    const timeout =
      !isDraining && random() < 0.3 ? { visibilityTimeout: between(random, 2, 6) } : {};
    const maxMessages = isDraining ? 500 : between(random, 1, 40);
    const answer = await this.#post("receive", { maxMessages, wait, ...timeout }, wait * 1_000);
    const { messages } = answer as { messages: Held[] };
    if (isDraining) await this.#acknowledge(messages);
    else await this.#handle(messages);
    if (messages.length === 0 && wait === 0) await this.#client.pause(200);
    // Dead letters are left for the redrive, mostly.
    if (this.#isDeadLetters && !isDraining) await this.#client.pause(3_000, draining.signal);
  }

  async #handle(messages: Held[]): Promise<void> {
    const { random } = this.#client;
    const done: Held[] = [];
    const given: { entry: Held; timeout: number }[] = [];
    for (const message of messages) {
      const luck = random();
      if (luck < 0.8) done.push(message);
      else if (luck < 0.84) void this.#acknowledgeLate(message);
      else if (luck < 0.88) void this.#extend(message);
      else if (luck < 0.92) given.push({ entry: message, timeout: random() < 0.5 ? 0 : 1 });
      // The rest is forgotten: its visibility timeout passes.
    }
    await this.#client.pause(random() * 30);
    await this.#acknowledge(done);
    if (given.length > 0) await this.#change(given);
  }

  async #acknowledge(messages: readonly Held[]): Promise<void> {
    if (messages.length === 0) return;
    const receiptHandles = messages.map(({ receiptHandle }) => receiptHandle);
    await this.#post("ack", { receiptHandles });
  }

  /** After its time, when somebody else has received it by all likelihood. */
  async #acknowledgeLate(message: Held): Promise<void> {
    const seconds = this.#queue.visibilityTimeout + this.#client.random() * 3;
    await this.#client.pause(seconds * 1_000);
    if (!this.#client.stopping.signal.aborted) await this.#acknowledge([message]).catch(() => {});
  }

  async #extend(message: Held): Promise<void> {
    const { random } = this.#client;
    try {
      await this.#client.pause(random() * 1_500);
      await this.#change([{ entry: message, timeout: between(random, 3, 8) }]);
      await this.#client.pause(2_000 + random() * 2_000);
      if (!this.#client.stopping.signal.aborted) await this.#acknowledge([message]);
    } catch {
      // Recorded; the message comes back.
    }
  }

  async #change(entries: { entry: Held; timeout: number }[]): Promise<void> {
    await this.#post("visibility", {
      entries: entries.map(({ entry, timeout }) => ({
        receiptHandle: entry.receiptHandle,
        visibilityTimeout: timeout,
      })),
    });
  }

  #post(verb: string, body: object, waitMs = 0): Promise<unknown> {
    const path = `/v1/queues/${this.#queue.name}/${verb}`;
    return this.#client.request({ method: "POST", path, body, waitMs });
  }
}
