import type { Client } from "../systems/client.ts";
import { nothingDone, type Assignment, type Done } from "./assignment.ts";
import { Ledger } from "./ledger.ts";
import type { Load } from "./load.ts";

/**
 * Consumes its queues until each has had every message, acknowledged. Waits on them before it is told to start, unless
 * everything is published first.
 */
export async function consume(
  { load, consumes }: Assignment,
  client: Client,
): Promise<() => Promise<Done>> {
  const queues = consumes.map((name) => new QueueConsumption(name, load));
  const begin = async () => {
    await Promise.all(queues.map(async (queue) => queue.begin(client)));
  };
  if (load.publishFirst !== true) await begin();
  return async () => {
    if (load.publishFirst === true) await begin();
    await Promise.all(queues.map(async (queue) => queue.end()));
    return {
      ...nothingDone,
      count: queues.reduce((sum, { ledger }) => sum + ledger.distinct, 0),
      latencies: joined(queues.map(({ ledger }) => ledger.latencies)),
      complaints: queues.flatMap(({ name, ledger }) => {
        const complaint = ledger.complaint();
        return complaint === undefined ? [] : [`${name}: ${complaint}`];
      }),
    };
  };
}

class QueueConsumption {
  readonly name: string;
  readonly ledger: Ledger;
  readonly #load: Load;
  readonly #complete: Promise<void>;
  #completed: () => void = () => undefined;
  #stop: (() => Promise<void>) | undefined;

  constructor(name: string, load: Load) {
    this.name = name;
    this.#load = load;
    const { groups, rate, untimed = 0 } = load;
    this.ledger = new Ledger(load.messages, {
      ...(groups !== undefined && { groups }),
      ...(rate !== undefined && { timedFrom: untimed }),
    });
    this.#complete = new Promise((resolve) => {
      this.#completed = resolve;
    });
  }

  async begin(client: Client): Promise<void> {
    this.#stop = await client.consume(this.name, this.#load, (stamps) => {
      this.ledger.take(stamps);
      if (this.ledger.complete) this.#completed();
    });
  }

  /** Resolves once everything has come and the last acknowledgement is confirmed. */
  async end(): Promise<void> {
    await this.#complete;
    await this.#stop?.();
  }
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
