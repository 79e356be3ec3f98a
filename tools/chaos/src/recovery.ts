import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Connection } from "@sluice/client";
import type { Credentials } from "@sluice/stack";

/** How long a system may take to come back before that is a failure, ms. */
const PATIENCE_MS = 60_000;

/** Publishes through each API and receives it again, to see whether the whole way is open. */
export class RecoveryProbe {
  readonly #ways: { connection: Connection; name: string }[];
  #values = 0;

  constructor(urls: readonly string[], headers: Credentials) {
    this.#ways = urls.map((url, index) => ({
      connection: connect({ url, headers, timeoutMs: 2_000, retry: false }),
      name: `probe-${index}`,
    }));
  }

  async create(): Promise<void> {
    for (const { connection, name } of this.#ways) {
      await connection.request({ method: "POST", path: "/v1/topics", body: { name } });
      // What a round that failed has left hidden must not hold up the next one for long.
      const body = { name, visibilityTimeout: 1 };
      await connection.request({ method: "POST", path: "/v1/queues", body });
      const path = `/v1/topics/${name}/subscriptions`;
      await connection.request({ method: "POST", path, body: { queue: name } });
    }
  }

  /** Milliseconds until every API has published and delivered once; undefined when that takes a minute. */
  readonly recovered = async (): Promise<number | undefined> => {
    const began = performance.now();
    const outcomes = await Promise.all(this.#ways.map((way) => this.#untilOpen(way, began)));
    if (outcomes.includes(false)) return undefined;
    return Math.round(performance.now() - began);
  };

  async #untilOpen(way: { connection: Connection; name: string }, began: number): Promise<boolean> {
    while (performance.now() - began < PATIENCE_MS) {
      try {
        if (await this.#isOpen(way)) return true;
      } catch {
        await sleep(20);
      }
    }
    return false;
  }

  async #isOpen({ connection, name }: { connection: Connection; name: string }): Promise<boolean> {
    this.#values += 1;
    const body = `probe ${this.#values}`;
    await connection.request({
      method: "POST",
      path: `/v1/topics/${name}/messages`,
      body: { messages: [{ body }] },
    });
    for (let round = 0; round < 3; round += 1) {
      const { messages } = (await connection.request({
        method: "POST",
        path: `/v1/queues/${name}/receive`,
        body: { maxMessages: 100, wait: 2 },
        waitMs: 2_000,
      })) as { messages: { body: string; receiptHandle: string }[] };
      if (messages.length === 0) continue;
      const receiptHandles = messages.map(({ receiptHandle }) => receiptHandle);
      await connection.request({
        method: "POST",
        path: `/v1/queues/${name}/ack`,
        body: { receiptHandles },
      });
      if (messages.some((message) => message.body === body)) return true;
    }
    return false;
  }
}
