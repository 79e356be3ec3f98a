import type { Connection, QueueDeclaration, SluiceError, WireAttributes } from "@sluice/client";
import { entryError, listOf, nameOf, queuePath } from "@sluice/client/internal";
import { sharedReceives } from "./shared-receives.ts";
import type { SharedReceives } from "./shared-receives.ts";

/** A message as a receive answers it, under its receipt. */
export interface WireMessage {
  readonly messageId: string;
  readonly body: string;
  readonly attributes: WireAttributes;
  readonly subject?: string;
  readonly groupId?: string;
  readonly deduplicationId?: string;
}

/** Messages that were stored and received together, with what they have in common. */
export interface WireReceipt {
  /** What their receipt handles begin with. */
  readonly receipt: string;
  /** Which messages they are of those stored together, as hexadecimal digits. */
  readonly bits: string;
  /** Of a FIFO queue: the sequence number of the message at bit 0, 20 digits; each of the others has its bit more. */
  readonly firstSequenceNumber?: string;
  readonly receiveCount: number;
  readonly sentAt: string;
  readonly firstReceivedAt: string;
  readonly failureReason?: string;
  readonly replayed?: true;
  /** In order of their bits. */
  readonly messages: readonly WireMessage[];
}

/** Names one message of a receipt. */
export interface Received {
  readonly receipt: WireReceipt;
  readonly bit: number;
}

const bitCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

/** The receipt handle of one message. */
export function receiptHandleOf({ receipt, bit }: Received): string {
  return receipt.receipt + bitCharacters.charAt(bit);
}

/** The bits of the messages of a receipt, lowest first. */
export function bitsOf({ bits }: WireReceipt): number[] {
  const positions: number[] = [];
  for (let digit = bits.length - 1, base = 0; digit >= 0; digit--, base += 4) {
    const value = Number.parseInt(bits.charAt(digit), 16);
    for (let bit = 0; bit < 4; bit++) if ((value >> bit) & 1) positions.push(base + bit);
  }
  return positions;
}

/** What a receive answers. */
export interface Answer {
  readonly received: WireReceipt[];
  /** Since when, or later, they are hidden from others, by the clock of this process in ms. */
  readonly heldFrom: number;
  /** What became of the messages that were acknowledged with it; undefined: that is not known. */
  readonly errors: EntryErrors | undefined;
  /** Whether its wait ended because there was something for another receive of the same call. */
  readonly isCutShort: boolean;
}

export interface ReceiveRequest {
  readonly maxMessages: number;
  /** In seconds. */
  readonly wait: number;
  /** In seconds. */
  readonly visibilityTimeout: number;
  /** Whether the receive before it brought nothing. */
  readonly isIdle: boolean;
  /** How long the answer is still waited for when the signal gives it up, in ms. */
  readonly farewellMs: number;
}

export interface VisibilityEntry {
  readonly receiptHandle: string;
  /** In seconds; 0 makes the message visible at once. */
  readonly visibilityTimeout: number;
  /** Why it is given back. */
  readonly reason?: string | undefined;
  /** False, where it is given back at once and nobody has seen it: its receive does not count. */
  readonly received?: false | undefined;
}

type EntryResult =
  | { readonly ok: true }
  | { readonly error: { code: string; message: string }; readonly bits?: string };

interface Told {
  /**
   * How long the server had waited when it began to take messages, in ms: it has hidden them since then at the
   * earliest.
   */
  readonly waitedMs?: number;
  /** A receive that was shared may be told nothing of what it acknowledged. */
  readonly acknowledged?: EntryResult[];
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly retry: boolean;
  readonly timeoutMs?: number;
  /** Told of each failed attempt that will be repeated. */
  readonly onRetry?: (error: SluiceError) => void;
}

/** What one call takes at most, entries of acknowledgements and visibility changes alike. */
export const maxEntries = 1_000;

/** The calls a consumer makes. Batch calls return one error, or undefined, an entry. */
export class QueueCalls {
  readonly #connection: Connection;
  readonly #queue: QueueDeclaration;
  readonly #path: string;
  readonly #receives: SharedReceives;

  constructor(connection: Connection, queue: QueueDeclaration) {
    this.#connection = connection;
    this.#queue = queue;
    this.#path = queuePath(queue);
    this.#receives = sharedReceives(connection);
  }

  /** Whether the connection repeats calls. */
  get repeats(): boolean {
    return this.#connection.repeats;
  }

  /** How long the connection lets an attempt take, in ms. */
  get timeoutMs(): number {
    return this.#connection.timeoutMs;
  }

  /** The queue's own visibility timeout, in seconds. */
  async visibilityTimeout(signal: AbortSignal): Promise<number> {
    const queue = await this.#connection.request({
      method: "GET",
      path: this.#path,
      field: "visibilityTimeout",
      call: "consumer.receive",
      signal,
      retry: false,
    });
    return (queue as { visibilityTimeout: number }).visibilityTimeout;
  }

  /** Receives, and acknowledges what was received before: that is done at once, however long the receive waits. */
  async receive(
    { maxMessages, visibilityTimeout, ...how }: ReceiveRequest,
    acknowledged: readonly Received[],
    signal: AbortSignal,
  ): Promise<Answer> {
    const marked = byReceipt(acknowledged);
    const { answer, sentAt, isCutShort } = await this.#receives.receive({
      queue: this.#queue,
      body: {
        maxMessages,
        visibilityTimeout,
        ...(marked.length > 0 && { acknowledge: { receipts: namesOf(marked) } }),
      },
      ...how,
      signal,
      late: (late) => this.#giveBack(late),
    });
    if (answer === undefined)
      return { received: [], heldFrom: sentAt, errors: undefined, isCutShort };
    const received = listOf<WireReceipt>(answer, "receipts");
    const { waitedMs, acknowledged: told } = answer as Told;
    const heldFrom = waitedMs === undefined ? performance.now() : sentAt + waitedMs;
    if (marked.length === 0) return { received, heldFrom, errors: none, isCutShort };
    // Held up by a lock: the others of the call were not to wait for it.
    if (told === undefined) return { received, heldFrom, errors: undefined, isCutShort };
    const results = listOf<EntryResult>(answer, "acknowledged", marked.length);
    const errors = errorsOfReceipts(acknowledged, { marked, results, call: this.#nameOf(ack) });
    return { received, heldFrom, errors, isCutShort };
  }

  async acknowledge(messages: readonly Received[], options: CallOptions): Promise<EntryErrors> {
    const marked = byReceipt(messages);
    const body = { receipts: namesOf(marked) };
    const results = await this.#change(ack, body, { ...options, size: marked.length });
    return errorsOfReceipts(messages, { marked, results, call: this.#nameOf(ack) });
  }

  async changeVisibility(
    entries: readonly VisibilityEntry[],
    { as, ...options }: CallOptions & { readonly as: "release" | "extend" },
  ): Promise<EntryErrors> {
    const size = entries.length;
    const verb: Verb = { path: "visibility", as };
    let outcomeUnknown = false;
    const onRetry = (error: SluiceError) => {
      outcomeUnknown ||= error.outcomeUnknown;
      options.onRetry?.(error);
    };
    const results = await this.#change(verb, { entries }, { ...options, onRetry, size });
    return errorsOf(results, { outcomeUnknown, call: this.#nameOf(verb) });
  }

  /** What nobody waits for any longer. Where that fails, it comes again when its visibility timeout is over. */
  #giveBack(answer: unknown): void {
    const entries = listOf<WireReceipt>(answer, "receipts").flatMap((receipt) =>
      bitsOf(receipt).map((bit) => ({
        receiptHandle: receiptHandleOf({ receipt, bit }),
        visibilityTimeout: 0,
        received: false as const,
      })),
    );
    this.changeVisibility(entries, { as: "release", retry: true }).catch(() => {});
  }

  async #change(
    verb: Verb,
    body: object,
    { size, ...options }: CallOptions & { size: number },
  ): Promise<EntryResult[]> {
    const request = { ...this.#request(verb), body, field: "results", ...options };
    const answer = await this.#connection.request(request);
    return listOf<EntryResult>(answer, "results", size);
  }

  #request({ path, as }: Verb) {
    return { method: "POST", path: `${this.#path}/${path}`, call: `consumer.${as}` } as const;
  }

  #nameOf(verb: Verb): string {
    return nameOf(this.#request(verb));
  }
}

/** A call for messages of the queue: where it goes, and as what errors know it, as `onError` does. */
interface Verb {
  readonly path: "ack" | "visibility";
  readonly as: "acknowledge" | "release" | "extend";
}

const ack: Verb = { path: "ack", as: "acknowledge" };

/** Some messages of a receipt: the bits below 32, and those above. */
interface MarkedReceipt {
  readonly receipt: WireReceipt;
  low: number;
  high: number;
}

/** Merges the messages of each receipt; those of one usually follow each other. */
function byReceipt(messages: readonly Received[]): MarkedReceipt[] {
  const marks = new Map<WireReceipt, MarkedReceipt>();
  let mark: MarkedReceipt | undefined;
  for (const { receipt, bit } of messages) {
    if (mark?.receipt !== receipt) {
      mark = marks.get(receipt) ?? { receipt, low: 0, high: 0 };
      marks.set(receipt, mark);
    }
    if (bit < 32) mark.low |= 1 << bit;
    else mark.high |= 1 << (bit - 32);
  }
  return [...marks.values()];
}

function namesOf(marked: readonly MarkedReceipt[]): { receipt: string; bits: string }[] {
  return marked.map(({ receipt, low, high }) => ({
    receipt: receipt.receipt,
    bits: hexOf(low, high),
  }));
}

function hexOf(low: number, high: number): string {
  const digits = (low >>> 0).toString(16);
  return high === 0 ? digits : high.toString(16) + digits.padStart(8, "0");
}

function errorsOfReceipts(
  messages: readonly Received[],
  {
    marked,
    results,
    call,
  }: { marked: readonly MarkedReceipt[]; results: readonly EntryResult[]; call: string },
): EntryErrors {
  const refused = new Map<WireReceipt, { error: SluiceError; bits: Set<number> }>();
  results.forEach((result, index) => {
    const mark = marked[index];
    if (mark === undefined || !("error" in result)) return;
    const { receipt, low, high } = mark;
    const bits = new Set(bitsOf({ ...receipt, bits: result.bits ?? hexOf(low, high) }));
    refused.set(receipt, { error: entryError(result.error, { call }), bits });
  });
  if (refused.size === 0) return none;
  const errors = new Map<number, SluiceError>();
  messages.forEach(({ receipt, bit }, index) => {
    const entry = refused.get(receipt);
    if (entry?.bits.has(bit)) errors.set(index, entry.error);
  });
  return errors;
}

/** The errors of the entries that were refused, by their index. Nearly always empty. */
export type EntryErrors = ReadonlyMap<number, SluiceError>;

const none: EntryErrors = new Map();

function errorsOf(
  results: readonly EntryResult[],
  options: { outcomeUnknown: boolean; call: string },
): EntryErrors {
  let errors: Map<number, SluiceError> | undefined;
  for (let index = 0; index < results.length; index++) {
    const result = results[index]!;
    if ("error" in result) (errors ??= new Map()).set(index, entryError(result.error, options));
  }
  return errors ?? none;
}
