// For programs whose own `lib` does not have AsyncDisposable: it goes into the declarations that they see.
/// <reference lib="esnext.disposable" preserve="true" />
import { SluiceError } from "@sluice/client";
import type { Connection, QueueDeclaration, TopicDeclaration } from "@sluice/client";
import {
  assertConnection,
  assertDeclared,
  invalidOption,
  refuseUnknown,
  sideBySide,
} from "@sluice/client/internal";
import type { OptionNames } from "@sluice/client/internal";
import { Batching } from "./batching.ts";
import type { BatchingOptions } from "./batching.ts";
import { splitIntoChunks } from "./chunks.ts";
import { Drain } from "./drain.ts";
import { writeEntry } from "./entry.ts";
import { namesOfOptions } from "./message-options.ts";
import type {
  PublishAllArguments,
  PublishAllOptions,
  PublishArguments,
  PublishOptions,
  SendAllArguments,
  SendAllOptions,
  SendArguments,
  SendOptions,
} from "./message-options.ts";
import { PublishError } from "./publish-error.ts";
import type { PublishedMessage, PublishResult } from "./publish-error.ts";
import { manyBy, oneBy, write } from "./write.ts";
import type { Destination, Written } from "./write.ts";

/** How a producer makes its calls. */
export interface ProducerOptions {
  /**
   * Merge single publishes and sends to one destination into common calls: one to an idle destination goes at once,
   * those that come while its call is under way share the next. Default true; false: each makes a call of its own.
   */
  readonly batching?: boolean | BatchingOptions;
  /**
   * How long close() waits for calls under way, in milliseconds, before it gives them up: what is not answered by then
   * is refused with `aborted`, and its `outcomeUnknown` tells whether it may have been stored. Default Infinity: as
   * long as the calls take, 90 s by the connection's defaults where no server answers.
   */
  readonly drainTimeoutMs?: number;
}

const names: OptionNames<ProducerOptions> = { batching: true, drainTimeoutMs: true };

/**
 * Makes a producer. One serves any number of topics, queues and concurrent publishes.
 *
 * @example
 * ```ts
 * const producer = createProducer(connection);
 * const { messageId } = await producer.publish(orders, { id: "o-1", total: 12 }, { attributes: { region: "eu" } });
 * await producer.close();
 * ```
 */
export function createProducer(connection: Connection, options: ProducerOptions = {}): Producer {
  return new Producer(connection, options);
}

/** Publishes to topics and sends to queues; what it returns is stored durably. */
export class Producer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #batching: Batching | undefined;
  readonly #drain: Drain;
  readonly #underWay = new Set<Promise<unknown>>();
  /**
   * By destination, where schemas take their time: resolves when the last message so far has joined its batch, or was
   * refused.
   */
  readonly #joining = new Map<string, Promise<void>>();
  #closed = false;

  constructor(connection: Connection, options: ProducerOptions) {
    assertConnection(connection);
    refuseUnknown(options, names);
    this.#connection = connection;
    const { batching = true, drainTimeoutMs = Infinity } = options;
    this.#drain = new Drain(drainTimeoutMs);
    if (batching !== false) {
      const { signal } = this.#drain;
      this.#batching = new Batching(connection, batching === true ? {} : batching, signal);
    }
  }

  /**
   * Publishes one message to a topic.
   *
   * Its call ends within the connection's `retry.budgetMs` and `timeoutMs`, by default 90 s. While it waits for its
   * turn to share one: after that time it is refused with `timeout`, unsent, when the call before it hangs for
   * `timeoutMs`, and is sent without repeats when its turn comes. A message behind calls that are answered waits as
   * long as they take.
   *
   * Throws `schema_mismatch`, and `invalid_request` for an unknown option, before anything is sent; `topic_not_found`,
   * `message_too_large`, `invalid_message`, `invalid_attribute`; `unavailable`, `network` or `timeout` when retries
   * have used up their budget; `aborted` when close() has waited long enough; `closed`.
   */
  publish<Input, Name extends string>(
    topic: TopicDeclaration<Input, unknown, Name>,
    payload: NoInfer<Input>,
    ...[options = {}]: PublishArguments<Name>
  ): Promise<PublishedMessage> {
    return this.#track(() => this.#one(topic, payload, options));
  }

  /**
   * Publishes any number of messages to a topic, in calls of up to 1,000 and 4 MiB, and returns their ids in the order
   * given.
   *
   * All payloads are checked before the first is sent. Throws like {@link publish}, and {@link PublishError} when
   * messages were refused, or a call failed after others had stored some.
   *
   * @example
   * ```ts
   * await producer.publishAll(orders, batch, { each: (order) => ({ attributes: { region: order.region } }) });
   * ```
   */
  publishAll<Input, Name extends string>(
    topic: TopicDeclaration<Input, unknown, Name>,
    payloads: readonly NoInfer<Input>[],
    ...[options = {}]: PublishAllArguments<Name, NoInfer<Input>>
  ): Promise<PublishedMessage[]> {
    return this.#track(() => this.#all(topic, payloads, options));
  }

  /** Sends one message to a queue. Throws like {@link publish}, with `queue_not_found`. */
  send<Input, Name extends string>(
    queue: QueueDeclaration<Input, unknown, Name>,
    payload: NoInfer<Input>,
    ...[options = {}]: SendArguments<Name>
  ): Promise<PublishedMessage> {
    return this.#track(() => this.#one(queue, payload, options));
  }

  /** Sends any number of messages to a queue. Splits, checks and throws like {@link publishAll}. */
  sendAll<Input, Name extends string>(
    queue: QueueDeclaration<Input, unknown, Name>,
    payloads: readonly NoInfer<Input>[],
    ...[options = {}]: SendAllArguments<Name, NoInfer<Input>>
  ): Promise<PublishedMessage[]> {
    return this.#track(() => this.#all(queue, payloads, options));
  }

  /**
   * Takes no more messages and resolves when all those under way have been answered, or given up after
   * `drainTimeoutMs`.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const end = this.#drain.begin();
    await this.#batching?.close();
    await Promise.allSettled(this.#underWay);
    end();
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #one<Input>(
    destination: Destination<Input>,
    payload: Input,
    options: PublishOptions & SendOptions,
  ): Promise<PublishedMessage> {
    assertDeclared(destination);
    refuseUnknown(options, namesOfOptions[destination.kind].one);
    const { format } = destination;
    const written = writeEntry({ format, payload, options, label: single() });
    if (this.#batching !== undefined && !needsOwnCall(options)) {
      if (typeof written !== "string" || this.#joining.size > 0)
        return await this.#join(this.#batching, destination, written);
      splitIntoChunks([written], single); // one too large for any call must not fail the others of its batch
      return this.#batching.add(destination, written);
    }
    const entry = typeof written === "string" ? written : await this.#drain.unsent(written);
    const { signal, forget } = this.#drain.listenTo(options.signal);
    try {
      const { results } = await write(this.#connection, destination, {
        entries: [entry],
        placeOf: single,
        method: oneBy[destination.kind],
        call: { idempotencyKey: options.idempotencyKey, signal },
      });
      return messageOf(results[0]);
    } finally {
      forget();
    }
  }

  /** Messages to one destination keep their order, also where the schema of one takes longer than that of the next. */
  async #join<Input>(
    batching: Batching,
    destination: Destination<Input>,
    written: string | Promise<string>,
  ): Promise<PublishedMessage> {
    const key = `${destination.kind}/${destination.name}`;
    const earlier = this.#joining.get(key);
    const entryOf = typeof written === "string" ? written : this.#drain.unsent(written);
    const joined = Promise.all([entryOf, earlier]).then(([entry]) => {
      splitIntoChunks([entry], single);
      return { answer: batching.add(destination, entry) };
    });
    const settled = Promise.allSettled([joined, earlier]).then(() => {
      if (this.#joining.get(key) === settled) this.#joining.delete(key);
    });
    this.#joining.set(key, settled);
    return await (
      await joined
    ).answer;
  }

  async #all<Input>(
    destination: Destination<Input>,
    payloads: readonly Input[],
    given: PublishAllOptions<Input> & SendAllOptions<Input>,
  ): Promise<PublishedMessage[]> {
    assertDeclared(destination);
    if (!Array.isArray(payloads as unknown))
      throw invalidOption("payloads", `expected an array, got ${typeof payloads}`);
    const known = namesOfOptions[destination.kind];
    refuseUnknown(given, known.all);
    const { each, ...common } = given;
    const { format } = destination;
    const writeOne = (payload: Input, index: number) => {
      const own = each?.(payload, index);
      if (own) refuseUnknown(own, known.each, "each.");
      const options = own ? { ...common, ...own } : common;
      return writeEntry({ format, payload, options, label: `payloads.${index}` });
    };
    const entries = await this.#drain.unsent(sideBySide(payloads, writeOne));
    const placeOf = (index: number) => `payloads.${index}`;
    const method = manyBy[destination.kind];
    const { signal, forget } = this.#drain.listenTo(common.signal);
    try {
      const call = { idempotencyKey: common.idempotencyKey, signal };
      return messagesOf(
        await write(this.#connection, destination, { entries, placeOf, method, call }),
      );
    } finally {
      forget();
    }
  }

  /** Keeps the call known until it ends, for close() to wait for. */
  async #track<T>(begin: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new SluiceError("closed", "The producer is closed.");
    const call = begin();
    this.#underWay.add(call);
    // By await alone, so that the stack of an error leads to who made the call.
    try {
      return await call;
    } finally {
      this.#underWay.delete(call);
    }
  }
}

/** How errors call a message that is published alone. */
const single = () => "payload";

/** A merged call cannot be given up, or named, for one of its messages. */
function needsOwnCall({ idempotencyKey, signal }: PublishOptions): boolean {
  return idempotencyKey !== undefined || signal !== undefined;
}

function messageOf(result: PublishResult | undefined): PublishedMessage {
  if (result?.messageId !== undefined) return result;
  throw result?.error ?? new SluiceError("unexpected_response", "The message has no result.");
}

function messagesOf({ results, failure }: Written): PublishedMessage[] {
  const messages: PublishedMessage[] = [];
  for (const result of results) {
    if (result.messageId !== undefined) messages.push(result);
  }
  if (messages.length === results.length) return messages;
  if (failure !== undefined && results.every(({ error }) => error === failure)) throw failure;
  throw new PublishError(results, failure);
}
