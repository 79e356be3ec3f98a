import type { Client } from "./client.ts";
import { valueOf } from "../history/wire.ts";
import { kinds, type Kind } from "../kinds.ts";
import { between, pick, type Random } from "../random.ts";

const LOOPS = 8;
/** Groups of a FIFO topic or queue. */
const GROUPS = 20;
const MOST_BYTES = 200 * 1_024;

interface NewMessage {
  body: string;
  attributes: Record<string, { type: string; value: string }>;
  delay?: number;
  groupId?: string;
  deduplicationId?: string;
}

interface KeyedCall {
  method: "POST";
  path: string;
  body: { messages: NewMessage[] };
  idempotencyKey?: string | undefined;
}

/** Publishes and sends at its rate until the workload is over; repeats calls with the same key, and makes mistakes. */
export async function publish(client: Client): Promise<void> {
  const { signal } = client.draining;
  const loops = Array.from({ length: LOOPS }, (_, loop) => new Publisher(client, loop));
  await Promise.all(loops.map((loop) => client.loop(signal, () => loop.step())));
}

class Publisher {
  readonly #client: Client;
  readonly #loop: number;
  #values = 0;
  /** When the next call is due, ms. */
  #due = performance.now();

  constructor(client: Client, loop: number) {
    this.#client = client;
    this.#loop = loop;
  }

  async step(): Promise<void> {
    const { random, settings, draining } = this.#client;
    const messages = Array.from({ length: this.#batchSize() }, () => this.#message());
    this.#due = Math.max(
      this.#due + (messages.length * LOOPS * 1_000) / settings.rate,
      performance.now() - 1_000,
    );
    const path = this.#target(messages);
    const key = `${settings.name}-${this.#loop}-${this.#values}`;
    const call = { method: "POST" as const, path, body: { messages }, idempotencyKey: key };
    const patient = random() < 0.6;
    let known = false;
    try {
      await this.#client.request(call, { patient });
      known = true;
    } finally {
      // The same call again, after a success or after nobody knows what: it must not be stored twice.
      const repeats = isDeduplicated(messages) ? 0.3 : 0.05;
      if (random() < (known ? repeats : 0.5))
        await this.#client.request(this.#repeatOf(call), { patient }).catch(() => {});
      await this.#client.pause(this.#due - performance.now(), draining.signal);
    }
  }

  /** Where messages have deduplication ids these do as well as the key of the call. */
  #repeatOf({ idempotencyKey, ...call }: KeyedCall): KeyedCall {
    const keyless = isDeduplicated(call.body.messages) && this.#client.random() < 0.6;
    return { ...call, ...(!keyless && { idempotencyKey }) };
  }

  #batchSize(): number {
    const { random } = this.#client;
    return random() < 0.5 ? between(random, 1, 3) : between(random, 4, 30);
  }

  #target(messages: NewMessage[]): string {
    const { random, settings } = this.#client;
    const { topics, queues } = settings.world;
    if (random() < 0.01) return "/v1/topics/missing/messages";
    if (random() < 0.3) {
      const queue = pick(random, [
        "jobs",
        ...queues.filter(({ fifo }) => fifo).map(({ name }) => name),
      ]);
      if (queue === "jobs") for (const message of messages) this.#delay(message);
      else this.#group(messages);
      return `/v1/queues/${queue}/messages`;
    }
    const topic = pick(random, topics);
    if (topic.fifo === true) this.#group(messages);
    return `/v1/topics/${topic.name}/messages`;
  }

  #delay(message: NewMessage): void {
    const { random } = this.#client;
    if (random() < 0.2) message.delay = pick(random, [0.5, 1, 2, 4]);
  }

  #group(messages: NewMessage[]): void {
    for (const message of messages) {
      message.groupId = `g${between(this.#client.random, 1, GROUPS)}`;
      message.deduplicationId = valueOf(message.body);
    }
  }

  #message(): NewMessage {
    const { random, settings } = this.#client;
    this.#values += 1;
    const value = `${settings.name}.${this.#loop}.${this.#values}`;
    const mistaken = random() < 0.005;
    const kind = pick(random, kinds);
    return {
      body: bodyOf(kind, value, filler(random)),
      attributes: {
        kind: { type: "String", value: kind.name },
        ...(random() < 0.2 && { bytes: { type: "Binary", value: "AAH/gA==" } }),
        ...(random() < 0.2 && { "a.b-c": { type: "Number.precise", value: "-1.50e3" } }),
        ...(mistaken && { "AWS.reserved": { type: "String", value: "refused" } }),
      },
    };
  }
}

function bodyOf({ name, paint }: Kind, value: string, text: string): string {
  return paint === undefined
    ? `${value} ${text}`
    : JSON.stringify({ value, kind: name, paint, text });
}

const alphabets = [
  "abc",
  'quo"te\\back/slash',
  "line\nbreak\ttab\r",
  "äöü€",
  "😀🎉𝄞",
  '{"json":[1,2]}',
];

/** A text of any length, mostly short, of characters that like to break on the way. */
function filler(random: Random): string {
  const piece = pick(random, alphabets);
  const luck = random();
  const length =
    luck < 0.9 ? between(random, 1, 400) : between(random, 400, luck < 0.995 ? 8_000 : MOST_BYTES);
  return piece.repeat(Math.ceil(length / Buffer.byteLength(piece)));
}

/** Sends to FIFO queues are few, so that half a minute has enough repeats of them only if they are repeated often. */
function isDeduplicated(messages: readonly NewMessage[]): boolean {
  return messages.every(({ deduplicationId }) => deduplicationId !== undefined);
}
