import { SluiceError } from "@sluice/client";
import type { Connection, QueueDeclaration } from "@sluice/client";
import { pause, queueName } from "@sluice/client/internal";
import { FailureLog } from "./failure-log.ts";
import { Failures } from "./failures.ts";
import type { HeldMessage } from "./held-message.ts";
import { Holdings } from "./holdings.ts";
import type { ConsumerState, Settings } from "./options.ts";
import { Outcomes } from "./outcomes.ts";
import { QueueCalls } from "./queue-calls.ts";
import type { Answer, ReceiveRequest } from "./queue-calls.ts";
import { Settlements } from "./settlements.ts";
import { untilAvailable } from "./until-available.ts";
import { within } from "./within.ts";
import type { Run, Workload } from "./workload.ts";

/**
 * How long stop() waits for its last calls, in milliseconds; with the default drain it fits in Kubernetes' 30 s of
 * grace.
 */
const flushLimitMs = 5_000;

/**
 * How long stop() waits for an answer that may be on its way, in ms, unless the drain is shorter: the server takes for
 * read what it has answered when a client hangs up. Measured with consumers that start and stop all the time, on queues
 * that get ten messages a second, the worst rate for it: of 1,000 stops 99 left a message hidden when they hung up at
 * once, 10 after 30 ms, 4 after 100 ms.
 */
const farewellMs = 100;

/** An empty answer sooner than this was not held open by the server; asking again at once would be a busy loop. */
const minPollMs = 500;

/** For a queue whose own visibility timeout is 0, with which nothing could be held. In seconds. */
const fallbackVisibilityTimeout = 30;

const nothing: Answer = { received: [], heldFrom: 0, errors: new Map(), isCutShort: false };

export interface SessionOptions {
  readonly settings: Settings;
  /** Aborted by whoever wants the session to end, and by the session itself when it cannot go on. */
  readonly stopping: AbortController;
  readonly onState: (state: ConsumerState) => void;
}

/**
 * One run of a consumer, from the first receive to the last acknowledgement.
 *
 *   room ─▶ receive ─▶ take: decode, handle ─▶ acknowledge or release
 *                │
 *                └─ held from here on: extended at half of the visibility timeout until it is settled
 */
export class Session {
  readonly #settings: Settings;
  readonly #stopping: AbortController;
  readonly #onState: (state: ConsumerState) => void;
  readonly #calls: QueueCalls;
  readonly #failures: Failures;
  readonly #log: FailureLog;
  readonly #settlements: Settlements;
  readonly #outcomes: Outcomes;
  /** Calls that wait for the server to come back. */
  #away = 0;

  constructor(connection: Connection, queue: QueueDeclaration, options: SessionOptions) {
    this.#settings = options.settings;
    this.#stopping = options.stopping;
    this.#onState = options.onState;
    this.#calls = new QueueCalls(connection, queue);
    this.#log = new FailureLog(queueName(queue));
    this.#failures = new Failures(options.settings.onError ?? this.#log.failed);
    this.#settlements = new Settlements(this.#calls, this.#failures);
    this.#outcomes = new Outcomes(this.#settlements, this.#failures, options.settings.backoff);
  }

  /** Resolves when stopped and drained; rejects, after draining, with what makes going on pointless. */
  async run(workloadFor: (run: Run) => Workload): Promise<void> {
    this.#onState("receiving");
    const visibilityTimeout = await this.#visibilityTimeout();
    if (visibilityTimeout === undefined) return;
    const holdings = this.#holdings(visibilityTimeout);
    const workload = workloadFor({ outcomes: this.#outcomes, visibilityTimeout });
    let final: { error: unknown } | undefined;
    const receivers = Array.from({ length: this.#settings.receivers }, async () => {
      try {
        await this.#receiveUntilStopped(workload, { holdings, visibilityTimeout });
      } catch (error) {
        final ??= { error };
        this.#stopping.abort();
      }
    });
    // Within abort() itself: between it and a later tick a handler could return and the next message begin.
    await onAbort(this.#stopping.signal, () => {
      this.#onState("draining");
      this.#outcomes.unhandled(workload.stop());
    });
    await this.#drain(workload, { holdings, receivers });
    if (final !== undefined) throw final.error;
  }

  async #receiveUntilStopped(
    workload: Workload,
    { holdings, visibilityTimeout }: { holdings: Holdings; visibilityTimeout: number },
  ): Promise<void> {
    const { signal } = this.#stopping;
    let isIdle = false;
    for (;;) {
      const maxMessages = await workload.room();
      if (maxMessages === 0) return;
      const asked = performance.now();
      const { received, heldFrom, isCutShort } = await this.#receive({
        maxMessages,
        visibilityTimeout,
        isIdle,
      });
      const messages = holdings.hold(received, heldFrom);
      if (signal.aborted) return this.#outcomes.unhandled(messages);
      await workload.take(messages, maxMessages);
      isIdle = messages.length === 0;
      const elapsed = performance.now() - asked;
      if (isIdle && !isCutShort && elapsed < minPollMs) await pause(minPollMs - elapsed, signal);
    }
  }

  async #drain(
    workload: Workload,
    { holdings, receivers }: { holdings: Holdings; receivers: readonly Promise<void>[] },
  ): Promise<void> {
    const handled = Promise.all(receivers).then(() => workload.idle());
    await within(this.#settings.drainTimeoutMs, handled);
    this.#giveBack(holdings.held());
    await this.#settlements.flush(flushLimitMs);
    holdings.stop();
  }

  /** Handlers that outlive the drain lose their messages; what they still return or throw is without effect. */
  #giveBack(messages: readonly HeldMessage[]): void {
    for (const message of messages) message.giveUp();
    this.#outcomes.abandoned(messages);
  }

  async #visibilityTimeout(): Promise<number | undefined> {
    const { visibilityTimeout } = this.#settings;
    if (visibilityTimeout !== undefined) return visibilityTimeout;
    const own = await this.#untilAvailable((signal) => this.#calls.visibilityTimeout(signal));
    return own === 0 ? fallbackVisibilityTimeout : own;
  }

  async #receive(request: Omit<ReceiveRequest, "wait" | "farewellMs">): Promise<Answer> {
    const { wait, drainTimeoutMs } = this.#settings;
    const received = await this.#untilAvailable(async (signal, failed) => {
      // After a failure a short poll: its answer is what tells that the server is back.
      const asked = {
        ...request,
        wait: failed ? 1 : wait,
        farewellMs: Math.min(farewellMs, drainTimeoutMs),
      };
      const late = failed ? undefined : this.#settlements.late.send();
      if (late !== undefined) await late;
      const riders = this.#settlements.ride();
      try {
        const answer = await this.#calls.receive(asked, riders.messages, signal);
        if (answer.errors === undefined) riders.lost({ isGivenUp: false });
        else riders.arrived(answer.errors);
        return answer;
      } catch (error) {
        riders.lost({ isGivenUp: error instanceof SluiceError && error.code === "aborted" });
        throw error;
      }
    });
    return received ?? nothing;
  }

  async #untilAvailable<T>(
    call: (signal: AbortSignal, failed: boolean) => Promise<T>,
  ): Promise<T | undefined> {
    const { signal } = this.#stopping;
    let failed = false;
    const onFailure = (error: SluiceError) => {
      if (!failed) this.#away++;
      failed = true;
      this.#onState("reconnecting");
      this.#failures.call("receive", error);
    };
    try {
      const answer = await untilAvailable(() => call(signal, failed), { signal, onFailure });
      if (answer !== undefined && failed && this.#away === 1) this.#log.back();
      return answer;
    } finally {
      if (failed) this.#away--;
      if (failed && this.#away === 0 && !signal.aborted) this.#onState("receiving");
    }
  }

  #holdings(visibilityTimeout: number): Holdings {
    const { autoExtend } = this.#settings;
    return new Holdings({
      calls: this.#calls,
      settlements: this.#settlements,
      failures: this.#failures,
      visibilityTimeout,
      autoExtend,
    });
  }
}

function onAbort(signal: AbortSignal, act: () => void): Promise<void> {
  return new Promise((resolve) => {
    const acted = () => {
      act();
      resolve();
    };
    if (signal.aborted) acted();
    else signal.addEventListener("abort", acted, { once: true });
  });
}
