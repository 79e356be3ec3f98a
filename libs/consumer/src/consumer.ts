// For programs whose own `lib` does not have AsyncDisposable: it goes into the declarations that they see.
/// <reference lib="esnext.disposable" preserve="true" />
import {
  assertConnection,
  assertDeclared,
  callBack,
  invalidOption,
  onAbort,
  stopController,
} from "@sluice/client/internal";
import { SluiceError } from "@sluice/client";
import type { Connection, QueueDeclaration } from "@sluice/client";
import { BatchWorkload } from "./batch-workload.ts";
import type { BatchHandler } from "./batch-workload.ts";
import { HandlerWorkload } from "./handler-workload.ts";
import type { Handler } from "./handler-workload.ts";
import { Handoff } from "./handoff.ts";
import { settingsOf } from "./options.ts";
import type { ConsumerOptions, ConsumerState, Settings } from "./options.ts";
import type { ReceivedMessage } from "./received-message.ts";
import { Session } from "./session.ts";
import type { Run, Workload } from "./workload.ts";

/**
 * Makes a consumer of a queue. Nothing is received until it runs: with a handler (`run`), with a handler of batches
 * (`runBatches`) or as an async iterator. It runs once.
 *
 * Throws `invalid_request` when an option is out of range or unknown, or the queue is not a declared one.
 *
 * @example
 * ```ts
 * const consumer = createConsumer(connection, billing, { concurrency: 20 });
 * process.once("SIGTERM", () => void consumer.stop());
 * await consumer.run(async (message) => charge(message.payload));
 * ```
 */
export function createConsumer<Payload>(
  connection: Connection,
  queue: QueueDeclaration<never, Payload>,
  options: ConsumerOptions = {},
): Consumer<Payload> {
  return new Consumer(connection, queue, options);
}

/**
 * Receives messages and sees each one settled: acknowledged when its handler returns, visible again when it throws,
 * hidden from other consumers for as long as it is being handled.
 */
export class Consumer<Payload> implements AsyncDisposable, AsyncIterable<ReceivedMessage<Payload>> {
  readonly #connection: Connection;
  readonly #queue: QueueDeclaration<never, Payload>;
  readonly #settings: Settings;
  readonly #stopping = stopController();
  #state: ConsumerState = "idle";
  #running: Promise<void> | undefined;

  constructor(
    connection: Connection,
    queue: QueueDeclaration<never, Payload>,
    options: ConsumerOptions,
  ) {
    assertConnection(connection);
    assertDeclared(queue, "queue");
    this.#connection = connection;
    this.#queue = queue;
    this.#settings = settingsOf(options);
  }

  get state(): ConsumerState {
    return this.#state;
  }

  /**
   * Handles messages one by one, up to `concurrency` at once, until stop() or the signal; then resolves.
   *
   * Outages of the server are waited out. Rejects with `queue_not_found`, `invalid_request` or a status of 401 or 403,
   * after draining; with `closed` when the consumer has run before.
   */
  async run(handler: Handler<Payload>): Promise<void> {
    assertFunction(handler);
    await this.#run((run) => this.#handlerWorkload(handler, this.#settings.concurrency, run));
  }

  /**
   * Handles the messages of each receive as one batch of up to `batchSize`, `receivers` batches at once. For bulk work.
   *
   * A handler that throws has the whole batch made visible again, but for what it has settled itself with `ack()` or
   * `release()`. Resolves and rejects like {@link run}.
   *
   * @example
   * ```ts
   * await consumer.runBatches(async (messages) => {
   *   await insertRows(messages.map(({ payload }) => payload));
   * });
   * ```
   */
  async runBatches(handler: BatchHandler<Payload>): Promise<void> {
    assertFunction(handler);
    const { format } = this.#queue;
    await this.#run(
      ({ outcomes }) => new BatchWorkload(handler, { limits: this.#settings, format, outcomes }),
    );
  }

  /**
   * Hands out messages one at a time. Asking for the next acknowledges the one before, unless it was released; leaving
   * the loop (`break`, `return`, an error) releases the current one, unless it was acknowledged, and stops the
   * consumer.
   *
   * Throws what {@link run} rejects with.
   *
   * @example
   * ```ts
   * for await (const message of consumer) await charge(message.payload);
   * ```
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedMessage<Payload>, void, undefined> {
    this.#assertIdle();
    const handoff = new Handoff<Payload>();
    const running = this.#run((run) => this.#handlerWorkload(handoff.handler, 1, run));
    const ended = running.finally(() => handoff.close());
    ended.catch(() => {}); // awaited below, but perhaps only after many messages
    try {
      for (let offer = await handoff.take(); offer !== undefined; offer = await handoff.take()) {
        let finished = false;
        try {
          yield offer.message;
          finished = true;
        } finally {
          if (!finished) {
            this.#stopping.abort();
            void offer.message.release().catch(() => {});
          }
          offer.done();
        }
      }
    } finally {
      this.#stopping.abort();
      await ended;
    }
  }

  /**
   * Receives no more, lets running handlers finish (for up to `drainTimeoutMs`, then their messages are released),
   * makes fetched messages visible again, and resolves when the last outcome has reached the server. Not to be awaited
   * inside a handler.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#running === undefined) this.#changeState("stopped");
    // What it rejects with is for whoever runs it.
    await this.#running?.catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(workload: (run: Run) => Workload): Promise<void> {
    this.#assertIdle();
    const { signal } = this.#settings;
    const stop = () => this.#stopping.abort();
    if (signal?.aborted) stop();
    const leave = signal && onAbort(signal, stop);
    const session = new Session(this.#connection, this.#queue, {
      settings: this.#settings,
      stopping: this.#stopping,
      onState: (state) => this.#changeState(state),
    });
    this.#running = session.run(workload).finally(() => {
      leave?.();
      this.#changeState("stopped");
    });
    await this.#running;
  }

  #assertIdle(): void {
    if (this.#state === "idle") return;
    const message = `The consumer of ${this.#queue.name} is ${this.#state}; it runs once.`;
    throw new SluiceError("closed", message);
  }

  #handlerWorkload(handler: Handler<Payload>, concurrency: number, run: Run): Workload {
    const limits = { ...this.#settings, concurrency };
    return new HandlerWorkload(handler, { limits, format: this.#queue.format, run });
  }

  #changeState(state: ConsumerState): void {
    if (this.#state === state || this.#state === "stopped") return;
    this.#state = state;
    callBack("onStateChange", () => this.#settings.onStateChange(state));
  }
}

/** Without one every message would fail. For callers without types. */
function assertFunction(handler: unknown): void {
  if (typeof handler !== "function")
    throw invalidOption("handler", `expected a function, got ${typeof handler}`);
}
