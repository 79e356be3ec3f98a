import type { SluiceError } from "@sluice/client";
import { Coalescer, onAbort, stopController } from "@sluice/client/internal";
import type { Failures, Refused } from "./failures.ts";
import type { Attempt, HeldMessage } from "./held-message.ts";
import { HandledMessages } from "./handled-messages.ts";
import { maxEntries } from "./queue-calls.ts";
import type { ReleaseOptions } from "./received-message.ts";
import type { CallOptions, EntryErrors, QueueCalls } from "./queue-calls.ts";
import { part, unlessDone, withoutDone } from "./refusals.ts";
import { releaseOf, type Release } from "./release.ts";
import { pauseBefore } from "./until-available.ts";
import { within } from "./within.ts";

/** How long the first of a few outcomes waits for others. */
const lingerMs = 10;

/**
 * How long a receive waits for acknowledgements that come too late, from when they were sent, in ms. They take
 * milliseconds; whether the server is away is for the receive itself to find out.
 */
const lateLimitMs = 2_000;

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

/** A batch that was acknowledged and waits for a receive to go with. */
interface WaitingBatch {
  readonly messages: readonly HeldMessage[];
  readonly settle: (errors: EntryErrors) => void;
}

type Repeating = Required<Pick<CallOptions, "signal" | "retry" | "onRetry">>;

/** A call about messages, and what to do with its answer. */
interface Telling extends WaitingBatch {
  readonly call: (how: Repeating) => Promise<EntryErrors>;
}

/** Acknowledgements that have gone out and are not answered yet. */
interface UnderWay {
  /** Those whose handlers have returned: the others wait for the answer themselves. */
  readonly handled: readonly HeldMessage[];
  readonly sentAt: number;
  /** From then on the first of them can be received again. */
  readonly heldUntil: number;
  /** Of a call of their own; what goes with a receive may wait for long. */
  answered?: Promise<void>;
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
  readonly #acks: Coalescer<Outcome>;
  readonly #releases: Coalescer<ReleaseOutcome>;
  readonly #batches = new Set<Promise<void>>();
  readonly #underWay = new Set<UnderWay>();
  readonly #handled = new HandledMessages();
  /** Releases that wait for an extension under way. */
  readonly #afterExtension = new Set<Promise<void>>();
  #waiting: WaitingBatch[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #giveUp = stopController();

  constructor(calls: QueueCalls, failures: Failures) {
    this.#calls = calls;
    this.#failures = failures;
    const common = { maxItems: maxEntries, lingerMs };
    this.#acks = new Coalescer({ ...common, send: (outcomes) => this.#sendAcks(outcomes) });
    this.#releases = new Coalescer({ ...common, send: (outcomes) => this.#sendReleases(outcomes) });
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
    const errors = await new Promise<EntryErrors>((settle) => {
      this.#waiting.push({ messages, settle });
      this.#timer ??= setTimeout(() => this.#sendWaiting(), lingerMs);
    });
    this.#notAcknowledged(
      Array.from(errors, ([index, error]) => ({ error, message: messages[index]! })),
    );
  }

  /**
   * Whether this consumer has handled it before, and acknowledged that too late for the message not to come again. To
   * be asked of messages that have been received before.
   */
  hasHandled(message: HeldMessage): boolean {
    if (this.#handled.take(message)) return true;
    const now = performance.now();
    const isSame = (other: HeldMessage) =>
      other.id === message.id && other.receipt.firstReceivedAt === message.receipt.firstReceivedAt;
    const isLate = (other: HeldMessage) => other.lease.heldUntil <= now && isSame(other);
    for (const { handled, heldUntil } of this.#underWay)
      if (heldUntil <= now && handled.some(isSame)) return true;
    return (
      this.#acks.some(({ message: other, waiter }) => waiter === undefined && isLate(other)) ||
      this.#waiting.some(({ messages }) => messages.some(isLate))
    );
  }

  /**
   * Sends acknowledgements of messages that others may have by now. Resolves when they are answered, soon in any case:
   * a receive waits for that, or it could bring them again. Undefined when there are none, nearly always.
   */
  sendLate(): Promise<unknown> | undefined {
    const now = performance.now();
    const isLate = (message: HeldMessage) => message.lease.heldUntil <= now;
    const answers: Promise<void>[] = [];
    let limitMs = 0;
    if (this.#acks.some(({ message }) => isLate(message))) {
      answers.push(this.#acks.flush());
      limitMs = lateLimitMs;
    }
    if (this.#waiting.some(({ messages }) => messages.some(isLate))) this.#sendWaiting();
    for (const { answered, heldUntil, sentAt } of this.#underWay) {
      const leftMs = sentAt + lateLimitMs - now;
      if (answered === undefined || heldUntil > now || leftMs <= 0) continue;
      answers.push(answered);
      limitMs = Math.max(limitMs, leftMs);
    }
    return answers.length === 0 ? undefined : within(limitMs, Promise.all(answers));
  }

  /** Takes acknowledgements along with a receive that is about to be sent. */
  ride(): Riders {
    const batches = this.#takeWaiting();
    const size = batches.reduce((sum, { messages }) => sum + messages.length, 0);
    const single = this.#acks.take(
      Math.max(0, maxEntries - size),
      ({ waiter }) => waiter === undefined,
    );
    const { messages, settle } = merged([...batches, ...this.#asBatch(single)]);
    if (messages.length === 0) return { messages, arrived: () => {}, lost: () => {} };
    const sent = this.#sent(messages);
    return {
      messages,
      arrived: (errors) => {
        this.#underWay.delete(sent);
        settle(errors);
      },
      lost: ({ isGivenUp }) => {
        this.#underWay.delete(sent);
        const doneBy = sent.sentAt + atOnceMs;
        // Where it failed, it may never have arrived.
        const isDone = isGivenUp && doneBy <= performance.now();
        this.#send({ messages, settle }, { again: true, ...(isDone && { doneBy }) });
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
    const timer = setTimeout(() => this.#giveUp.abort(), limitMs);
    this.#sendWaiting();
    const releases = Promise.all(this.#afterExtension).then(() => this.#releases.flush());
    await Promise.all([this.#acks.flush(), releases]);
    // One of them may leave another one behind, which repeats it.
    while (this.#batches.size > 0) await Promise.all(this.#batches);
    clearTimeout(timer);
  }

  /** With a delay, it waits for an extension that is under way: that could come after it and take the delay back. */
  #release(outcome: ReleaseOutcome, urgent = false): void {
    const { extending } = outcome.message.lease;
    const { signal } = this.#giveUp;
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

  /** Whole batches, as many as fit into one call; a single one always does. */
  #takeWaiting(): WaitingBatch[] {
    let size = 0;
    const fits = this.#waiting.findIndex(({ messages }, index) => {
      size += messages.length;
      return index > 0 && size > maxEntries;
    });
    const taken = this.#waiting.splice(0, fits < 0 ? this.#waiting.length : fits);
    if (this.#waiting.length === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    return taken;
  }

  #asBatch(outcomes: readonly Outcome[]): WaitingBatch[] {
    if (outcomes.length === 0) return [];
    const messages = outcomes.map(({ message }) => message);
    return [{ messages, settle: (errors) => this.#settle("acknowledge", outcomes, errors) }];
  }

  /** No receive came along: each batch goes with a call of its own. */
  #sendWaiting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const batch of this.#waiting.splice(0)) this.#send(batch, { again: false });
  }

  #send({ messages, settle }: WaitingBatch, attempt: Attempt): void {
    this.#goOn(this.#acknowledge({ messages, settle }, { handled: messages, attempt }));
  }

  /** What flush() waits for. */
  #goOn(sending: Promise<void>): void {
    this.#batches.add(sending);
    void sending.finally(() => this.#batches.delete(sending));
  }

  async #sendAcks(outcomes: readonly Outcome[]): Promise<void> {
    const messages = outcomes.map(({ message }) => message);
    const handled = messages.filter((_, index) => outcomes[index]!.waiter === undefined);
    const settle = (errors: EntryErrors) => this.#settle("acknowledge", outcomes, errors);
    await this.#acknowledge({ messages, settle }, { handled, attempt: { again: false } });
  }

  /** Notes that acknowledgements go out. */
  #sent(handled: readonly HeldMessage[]): UnderWay {
    let heldUntil = Infinity;
    for (const { lease } of handled) heldUntil = Math.min(heldUntil, lease.heldUntil);
    const sent = { handled, heldUntil, sentAt: performance.now() };
    this.#underWay.add(sent);
    return sent;
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
    return this.#tell({ messages, call, settle }, { again: false });
  }

  #acknowledge(
    { messages, settle }: WaitingBatch,
    { handled, attempt }: { handled: readonly HeldMessage[]; attempt: Attempt },
  ): Promise<void> {
    const sent = this.#sent(handled);
    const call = (how: Repeating) => this.#calls.acknowledge(messages, how);
    const answered = (errors: EntryErrors) => {
      this.#underWay.delete(sent);
      settle(errors);
    };
    sent.answered = this.#tell({ messages, call, settle: answered }, attempt);
    return sent.answered;
  }

  /**
   * Makes a call about messages. When the connection has repeated it for as long as it does, it is repeated for as long
   * as one of the messages is held: until then it is worth a try. Others need not wait for that, so this resolves
   * before.
   */
  async #tell(
    telling: Telling,
    { again, doneBy, round = 1 }: Attempt & { round?: number },
  ): Promise<void> {
    const { messages, call, settle } = telling;
    const { signal } = this.#giveUp;
    let isOpen = again;
    let isRepeated = false;
    const onRetry = ({ outcomeUnknown }: SluiceError) => {
      isRepeated = true;
      isOpen ||= outcomeUnknown;
    };
    let errors: EntryErrors;
    try {
      errors = await call({ signal, retry: true, onRetry });
    } catch (thrown) {
      const error = thrown as SluiceError;
      // A connection that repeats nothing is taken at its word.
      if (isRepeated && error.retryable && isHeld(messages)) {
        isOpen ||= error.outcomeUnknown;
        const next = pauseBefore(round + 1, { error, signal });
        this.#goOn(
          next.then(() => this.#tell(telling, { again: isOpen, doneBy, round: round + 1 })),
        );
        return;
      }
      errors = new Map(messages.map((_, index) => [index, error]));
    }
    settle(isOpen ? withoutDone(errors, messages, doneBy) : errors);
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
    for (const { message } of refused) this.#handled.add(message);
    this.#failures.entries("acknowledge", refused);
  }
}

/** Whether the server may still know the consumer as the holder of one of them. */
function isHeld(messages: readonly HeldMessage[]): boolean {
  const now = performance.now();
  return messages.some(({ lease }) => lease.heldUntil > now);
}

/** Nearly always there is one: then nothing is copied. */
function merged(batches: readonly WaitingBatch[]): WaitingBatch {
  const [only] = batches;
  if (only && batches.length === 1) return only;
  return {
    messages: batches.flatMap(({ messages }) => messages),
    settle: (errors) => {
      let first = 0;
      for (const { messages, settle } of batches) {
        settle(part(errors, first, messages.length));
        first += messages.length;
      }
    },
  };
}
