import type { SluiceError } from "@sluice/client";
import { Coalescer, onAbort } from "@sluice/client/internal";
import type { Failures, Refused } from "./failures.ts";
import type { Attempt, HeldMessage } from "./held-message.ts";
import { LateAcknowledgements } from "./late-acknowledgements.ts";
import { PersistentCalls, type Repeating } from "./persistent-calls.ts";
import { maxEntries } from "./queue-calls.ts";
import type { EntryErrors, QueueCalls } from "./queue-calls.ts";
import type { ReleaseOptions } from "./received-message.ts";
import { unlessDone } from "./refusals.ts";
import { releaseOf, type Release } from "./release.ts";
import { WaitingBatches, merged, type WaitingBatch } from "./waiting-batches.ts";

/** How long the first of a few outcomes waits for others. */
const lingerMs = 10;

/**
 * The server acknowledges what comes with a receive at once: that of a receive which has waited for so long, in ms, is
 * done, unless a lock held it up.
 */
const atOnceMs = 1_000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: SluiceError) => void;
}

interface Outcome extends Partial<Attempt> {
  readonly message: HeldMessage;
  /** Whoever awaits the outcome; without one, a refusal is reported. */
  readonly waiter?: Waiter;
}

type ReleaseOutcome = Outcome & Release;

const nobody: Waiter = { resolve: () => {}, reject: () => {} };

/** Acknowledgements that go with a receive. */
export interface Riders {
  readonly messages: readonly HeldMessage[];
  /** The receive was answered. */
  arrived(errors: EntryErrors): void;
  /** It was not, or given up: whether they arrived is unknown, and they go again with a call of their own. */
  lost(how: { isGivenUp: boolean }): void;
}

/**
 * Tells the server what became of messages: acknowledged or released, many to a call, repeated while the server is
 * away. The messages have left the state `held` before they come here.
 *
 * Acknowledgements that nobody awaits go with the next receive, if there is one before the linger is over: half of the
 * calls of a busy consumer.
 */
export class Settlements {
  readonly #calls: QueueCalls;
  readonly #failures: Failures;
  readonly #persistent: PersistentCalls;
  readonly #acks: Coalescer<Outcome>;
  readonly #batches: WaitingBatches;
  readonly #releases: Coalescer<ReleaseOutcome>;
  /** Releases that wait for an extension under way. */
  readonly #afterExtension = new Set<Promise<void>>();
  /** What others may have although it was handled. */
  readonly late: LateAcknowledgements;

  constructor(calls: QueueCalls, failures: Failures) {
    this.#calls = calls;
    this.#failures = failures;
    this.#persistent = new PersistentCalls(calls.repeats);
    const common = { maxItems: maxEntries, lingerMs };
    this.#acks = new Coalescer({ ...common, send: (outcomes) => this.#sendAcks(outcomes) });
    this.#releases = new Coalescer({ ...common, send: (outcomes) => this.#sendReleases(outcomes) });
    const send = (batch: WaitingBatch) => this.#sendBatch(batch, { again: false });
    this.#batches = new WaitingBatches({ lingerMs, send });
    this.late = new LateAcknowledgements({ single: this.#acks, batches: this.#batches });
  }

  /** Acknowledges in the background. */
  ack(message: HeldMessage, { again }: Attempt = { again: false }): void {
    this.#acks.add({ message, again });
  }

  /** Acknowledges at once and resolves when the server has. */
  ackNow(message: HeldMessage, { again }: Attempt): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#acks.add({ message, again, waiter: { resolve, reject } }, true);
    });
  }

  /** Acknowledges a batch; never rejects. */
  async ackBatch(messages: readonly HeldMessage[]): Promise<void> {
    const errors = await new Promise<EntryErrors>((settle) =>
      this.#batches.add({ messages, settle }),
    );
    this.#notAcknowledged(
      Array.from(errors, ([index, error]) => ({ error, message: messages[index]! })),
    );
  }

  /** Takes acknowledgements along with a receive that is about to be sent. */
  ride(): Riders {
    const batches = this.#batches.take();
    const size = batches.reduce((sum, { messages }) => sum + messages.length, 0);
    const single = this.#acks.take(
      Math.max(0, maxEntries - size),
      ({ waiter }) => waiter === undefined,
    );
    const { messages, settle } = merged([...batches, ...this.#asBatch(single)]);
    if (messages.length === 0) return { messages, arrived: () => {}, lost: () => {} };
    const sent = this.late.begin(messages);
    return {
      messages,
      arrived: (errors) => {
        this.late.end(sent);
        settle(errors);
      },
      lost: ({ isGivenUp }) => {
        this.late.end(sent);
        const doneBy = sent.sentAt + atOnceMs;
        // Where it failed, it may never have arrived.
        const isDone = isGivenUp && doneBy <= performance.now();
        this.#sendBatch({ messages, settle }, { again: true, ...(isDone && { doneBy }) });
      },
    };
  }

  /** Releases in the background. */
  release(message: HeldMessage, options: ReleaseOptions): void {
    this.#release(releaseOf(message, options));
  }

  /**
   * Releases in the background what nobody has seen: its receive does not count.
   *
   * @param isLate - Others may have it by now: then it goes before the next receive, which could bring it again, and it
   * is no failure when the server refuses it.
   */
  giveBack(message: HeldMessage, { isLate }: { isLate: boolean }): void {
    const release = { message, delay: 0, received: false as const };
    if (isLate) this.#releases.add({ ...release, waiter: nobody }, true);
    else this.#releases.add(release);
  }

  /** Releases at once and resolves when the server has. */
  releaseNow(message: HeldMessage, options: ReleaseOptions, { again }: Attempt): Promise<void> {
    return new Promise((resolve, reject) => {
      const release = { ...releaseOf(message, options), again };
      this.#release({ ...release, waiter: { resolve, reject } }, true);
    });
  }

  /** Sends all there is and waits for the answers, but for no longer than the limit. */
  async flush(limitMs: number): Promise<void> {
    const timer = setTimeout(() => this.#persistent.giveUp(), limitMs);
    this.#batches.send();
    const releases = Promise.all(this.#afterExtension).then(() => this.#releases.flush());
    await Promise.all([this.#acks.flush(), releases]);
    await this.#persistent.settled();
    clearTimeout(timer);
  }

  /** With a delay, it waits for an extension that is under way: that could come after it and take the delay back. */
  #release(outcome: ReleaseOutcome, urgent = false): void {
    const { extending } = outcome.message.lease;
    const { signal } = this.#persistent;
    if (outcome.delay === 0 || extending === undefined || signal.aborted)
      return this.#releases.add(outcome, urgent);
    const extended = new Promise<void>((resolve) => {
      const forget = onAbort(signal, resolve);
      void extending.finally(() => {
        forget();
        resolve();
      });
    });
    const released = extended.then(() => {
      this.#afterExtension.delete(released);
      this.#releases.add(outcome, urgent);
    });
    this.#afterExtension.add(released);
  }

  #asBatch(outcomes: readonly Outcome[]): WaitingBatch[] {
    if (outcomes.length === 0) return [];
    const messages = outcomes.map(({ message }) => message);
    return [{ messages, settle: (errors) => this.#settle("acknowledge", outcomes, errors) }];
  }

  #sendBatch(batch: WaitingBatch, attempt: Attempt): void {
    void this.#acknowledge(batch, { handled: batch.messages, attempt });
  }

  async #sendAcks(outcomes: readonly Outcome[]): Promise<void> {
    const messages = outcomes.map(({ message }) => message);
    const handled = messages.filter((_, index) => outcomes[index]!.waiter === undefined);
    const settle = (errors: EntryErrors) => this.#settle("acknowledge", outcomes, errors);
    await this.#acknowledge({ messages, settle }, { handled, attempt: { again: false } });
  }

  #sendReleases(outcomes: readonly ReleaseOutcome[]): Promise<void> {
    const messages = outcomes.map(({ message }) => message);
    const entries = outcomes.map(({ message, delay, reason, received }) => ({
      receiptHandle: message.receiptHandle,
      visibilityTimeout: delay,
      reason,
      received,
    }));
    const call = (how: Repeating) =>
      this.#calls.changeVisibility(entries, { as: "release", ...how });
    const settle = (errors: EntryErrors) => this.#settle("release", outcomes, errors);
    return this.#persistent.make({ messages, call, settle }, { again: false });
  }

  #acknowledge(
    { messages, settle }: WaitingBatch,
    { handled, attempt }: { handled: readonly HeldMessage[]; attempt: Attempt },
  ): Promise<void> {
    const sent = this.late.begin(handled);
    const call = (how: Repeating) => this.#calls.acknowledge(messages, how);
    const answered = (errors: EntryErrors) => {
      this.late.end(sent);
      settle(errors);
    };
    sent.answered = this.#persistent.make({ messages, call, settle: answered }, attempt);
    return sent.answered;
  }

  #settle(
    stage: "acknowledge" | "release",
    outcomes: readonly Outcome[],
    errors: EntryErrors,
  ): void {
    const refused: Refused[] = [];
    for (let index = 0; index < outcomes.length; index++) {
      const { message, waiter, again = false } = outcomes[index]!;
      const refusal = errors.get(index);
      const error = again ? unlessDone(refusal, message) : refusal;
      if (waiter === undefined) {
        if (error !== undefined) refused.push({ error, message });
      } else if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
    if (stage === "acknowledge") this.#notAcknowledged(refused);
    else this.#failures.entries(stage, refused);
  }

  /** They have been handled all the same, which is remembered for when they come again. */
  #notAcknowledged(refused: readonly Refused[]): void {
    for (const { message } of refused) this.late.refused(message);
    this.#failures.entries("acknowledge", refused);
  }
}
