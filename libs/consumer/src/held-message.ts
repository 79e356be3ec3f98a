import type { AttributeValue, WireAttributes } from "@sluice/client";
import { SluiceError } from "@sluice/client";
import { decodeAttributes, invalidOption, shown } from "@sluice/client/internal";
import type { Lease } from "./leases.ts";
import { receiptHandleOf, type WireMessage, type WireReceipt } from "./queue-calls.ts";
import type { ReceivedMessage, ReleaseOptions } from "./received-message.ts";
import { releaseOptionsOf } from "./release.ts";

/** For how long a message can be hidden at most, in seconds. */
const maxExtension = 43_200;

/** Which try it is to settle a message. */
export interface Attempt {
  /** Whether an acknowledgement or a release of it may have been carried out already: a call about it failed. */
  readonly again: boolean;
  /**
   * By when that must have been done, if it was, by the clock of this process in ms. Default: by the time at which it
   * is refused.
   */
  readonly doneBy?: number | undefined;
}

/** What a message can ask of the consumer that holds it. */
export interface Holder {
  acknowledge(message: HeldMessage, attempt: Attempt): Promise<void>;
  release(message: HeldMessage, options: ReleaseOptions, attempt: Attempt): Promise<void>;
  extend(message: HeldMessage, seconds: number): Promise<void>;
  /** The time of a lease is over, and nobody has extended it. */
  lapse(lease: Lease): void;
}

/** Fields that only few messages need: made with the first of them, so that the others are smaller. */
interface Seldom {
  attributes?: Record<string, AttributeValue>;
  abort?: AbortController;
  lostBy?: SluiceError;
  released?: boolean;
  /** What its handler has settled it by, and when first. */
  outcome?: Promise<void>;
  settledAt?: number;
  /** That failed, and is worth another try. */
  isOpen?: boolean;
  /** What its handler is told with once stop() has waited for it long enough and given the message back. */
  drainedBy?: SluiceError;
}

/**
 * The consumer's side of a received message.
 *
 *   held ──────────────ack, release──▶ settled
 *     └──an extension is refused, or none came in time──▶ lost ──ack, release──▶ settled
 *
 * A lost message is visible to other consumers, or with one. It is not extended any more, but acknowledging it is still
 * worth a try: until somebody has received it again, the server takes it.
 *
 * One is made for every message, 80,000 and more a second, and garbage is half of a bulk consumer's work: it has seven
 * fields, and everything else is read from the parsed answer when it is asked for.
 */
export class HeldMessage<Payload = unknown> implements ReceivedMessage<Payload> {
  payload!: Payload;
  readonly receipt: WireReceipt;
  /** Its place among the messages stored together with it. */
  readonly bit: number;
  readonly #wire: WireMessage;
  #lease: Lease;
  #state: "held" | "settled" | "lost" = "held";
  #seldom: Seldom | undefined;

  constructor(wire: WireMessage, receipt: WireReceipt, bit: number, lease: Lease) {
    this.#wire = wire;
    this.receipt = receipt;
    this.bit = bit;
    this.#lease = lease;
  }

  get id(): string {
    return this.#wire.messageId;
  }

  get body(): string {
    return this.#wire.body;
  }

  get subject(): string | undefined {
    return this.#wire.subject;
  }

  get groupId(): string | undefined {
    return this.#wire.groupId;
  }

  get deduplicationId(): string | undefined {
    return this.#wire.deduplicationId;
  }

  get sequenceNumber(): string | undefined {
    const { firstSequenceNumber } = this.receipt;
    if (firstSequenceNumber === undefined) return undefined;
    return String(BigInt(firstSequenceNumber) + BigInt(this.bit)).padStart(20, "0");
  }

  /** Of FIFO queues: the group whose messages are handled one after the other. */
  get lane(): string | undefined {
    return this.receipt.firstSequenceNumber === undefined ? undefined : this.#wire.groupId;
  }

  get receiveCount(): number {
    return this.receipt.receiveCount;
  }

  get receiptHandle(): string {
    return receiptHandleOf(this);
  }

  get attributes(): Record<string, AttributeValue> {
    const seldom = (this.#seldom ??= {});
    return (seldom.attributes ??= decodeAttributes(this.#wire.attributes));
  }

  get rawAttributes(): WireAttributes {
    return this.#wire.attributes;
  }

  get sentAt(): Date {
    return new Date(this.receipt.sentAt);
  }

  get firstReceivedAt(): Date {
    return new Date(this.receipt.firstReceivedAt);
  }

  get replayed(): boolean {
    return this.receipt.replayed ?? false;
  }

  get failureReason(): string | undefined {
    return this.receipt.failureReason;
  }

  get signal(): AbortSignal {
    const seldom = (this.#seldom ??= {});
    seldom.abort ??= new AbortController();
    const reason = seldom.drainedBy ?? seldom.lostBy;
    if (reason !== undefined) seldom.abort.abort(reason);
    return seldom.abort.signal;
  }

  get held(): boolean {
    return this.#state === "held";
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** Whether nobody else can have it; a process that stood still finds out before its timers do. */
  get isSafe(): boolean {
    return this.isSafeAt(performance.now());
  }

  /** For many: a look at the clock takes 250 ns, which is 2 % of what a message costs a bulk consumer. */
  isSafeAt(now: number): boolean {
    if (this.#state === "held" && this.#lease.heldUntil <= now)
      this.#lease.holder.lapse(this.#lease);
    return this.#state === "held";
  }

  /** Whether its handler has given it back, or wanted to: then it is not to be acknowledged without being asked. */
  get released(): boolean {
    return this.#seldom?.released ?? false;
  }

  /** When its handler has settled it itself, by performance.now(): from then on it is not extended. */
  get settledAt(): number | undefined {
    return this.#seldom?.settledAt;
  }

  /** Visible to others before it was settled. */
  get lost(): boolean {
    return this.#seldom?.lostBy !== undefined;
  }

  ack(): Promise<void> {
    const { drainedBy } = this.#seldom ?? {};
    if (drainedBy !== undefined) return Promise.reject(drainedBy);
    return this.#settleBy("ack", (attempt) => this.#lease.holder.acknowledge(this, attempt));
  }

  async release(options: number | ReleaseOptions = {}): Promise<void> {
    const given = releaseOptionsOf(options);
    await this.#settleBy("release", (attempt) => this.#lease.holder.release(this, given, attempt));
  }

  /** Once, unless that fails and is worth another try; whoever asks meanwhile or later is told what came of it. */
  #settleBy(how: "ack" | "release", send: (attempt: Attempt) => Promise<void>): Promise<void> {
    const isFirst = this.settle();
    if (!isFirst && !this.reopen()) return this.#seldom?.outcome ?? Promise.resolve();
    const seldom = (this.#seldom ??= {});
    seldom.released = how === "release";
    seldom.settledAt ??= performance.now();
    seldom.outcome = send({ again: !isFirst }).catch((error: SluiceError) => {
      seldom.isOpen = error.retryable;
      throw error;
    });
    return seldom.outcome;
  }

  async extend(seconds: number): Promise<void> {
    const { drainedBy } = this.#seldom ?? {};
    if (drainedBy !== undefined) throw drainedBy;
    // By 0, as SQS has it, others would get the message while its handler goes on: that is what release() is for.
    if (!(Number.isInteger(seconds) && seconds > 0 && seconds <= maxExtension)) {
      const told = `expected whole seconds from 1 to ${maxExtension}, got ${shown(seconds)}`;
      throw invalidOption("extend", told);
    }
    if (this.#state !== "settled") await this.#lease.holder.extend(this, seconds);
  }

  /** Has another lease hold it. */
  moveTo(lease: Lease): void {
    if (this.#state !== "held") return;
    this.#lease.close();
    this.#lease = lease;
    lease.add(this);
  }

  /** Has another lease tell until when it was held, unless it is held still. */
  leave(lease: Lease, before: Lease): void {
    if (this.#state !== "held" && this.#lease === lease) this.#lease = before;
  }

  /** Marks it as acknowledged or released; false when it was so already. */
  settle(): boolean {
    if (this.#state === "settled") return false;
    if (this.#state === "held") this.#lease.close();
    this.#state = "settled";
    return true;
  }

  /** Whether its handler failed to settle it, and has not tried again; from now on it has. */
  reopen(): boolean {
    if (this.#seldom?.isOpen !== true) return false;
    this.#seldom.isOpen = false;
    return true;
  }

  /** Marks it as visible to others: there is nothing left to extend. */
  lose(error: SluiceError): void {
    if (this.#state !== "held") return;
    this.#state = "lost";
    this.#lease.close();
    this.#seldom = { ...this.#seldom, lostBy: error };
    this.#seldom.abort?.abort(error);
  }

  /** Tells a handler that has outlived stop() that its message is being given back. */
  giveUp(): void {
    const seldom = (this.#seldom ??= {});
    const told = `Message ${this.id} was released: the consumer stops.`;
    seldom.drainedBy = new SluiceError("aborted", told, { outcomeUnknown: false });
    seldom.abort?.abort(seldom.drainedBy);
  }
}
