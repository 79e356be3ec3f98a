import type { Connection, QueueDeclaration, SluiceError, WireAttributes } from "@sluice/client";
import { entryError, listOf, queuePath } from "@sluice/client/internal";

/** A message as a receive answers it. */
export interface WireMessage {
  readonly messageId: string;
  readonly receiptHandle: string;
  readonly body: string;
  readonly attributes: WireAttributes;
  readonly subject?: string;
  readonly groupId?: string;
  readonly deduplicationId?: string;
  readonly sequenceNumber?: string;
  readonly receiveCount: number;
  readonly sentAt: string;
  readonly firstReceivedAt: string;
}

export interface ReceiveRequest {
  readonly maxMessages: number;
  /** In seconds. */
  readonly wait: number;
  /** In seconds. */
  readonly visibilityTimeout: number;
}

export interface VisibilityEntry {
  readonly receiptHandle: string;
  /** In seconds; 0 makes the message visible at once. */
  readonly visibilityTimeout: number;
}

type EntryResult = { readonly ok: true } | { readonly error: { code: string; message: string } };

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly retry: boolean;
  readonly timeoutMs?: number;
  readonly onRetry?: () => void;
}

/** What one call takes at most, entries of acknowledgements and visibility changes alike. */
export const maxEntries = 1_000;

/** The calls a consumer makes. Batch calls return one error, or undefined, an entry. */
export class QueueCalls {
  readonly #connection: Connection;
  readonly #path: string;

  constructor(connection: Connection, queue: QueueDeclaration) {
    this.#connection = connection;
    this.#path = queuePath(queue);
  }

  /** The queue's own visibility timeout, in seconds. */
  async visibilityTimeout(signal: AbortSignal): Promise<number> {
    const queue = await this.#connection.request({
      method: "GET",
      path: this.#path,
      signal,
      retry: false,
    });
    return (queue as { visibilityTimeout: number }).visibilityTimeout;
  }

  async receive(body: ReceiveRequest, signal: AbortSignal): Promise<WireMessage[]> {
    const path = `${this.#path}/receive`;
    const waitMs = body.wait * 1000;
    const answer = await this.#connection.request({ method: "POST", path, body, signal, waitMs });
    return listOf<WireMessage>(answer, "messages");
  }

  acknowledge(receiptHandles: readonly string[], options: CallOptions): Promise<EntryErrors> {
    return this.#change("ack", { receiptHandles }, { ...options, size: receiptHandles.length });
  }

  changeVisibility(
    entries: readonly VisibilityEntry[],
    options: CallOptions,
  ): Promise<EntryErrors> {
    return this.#change("visibility", { entries }, { ...options, size: entries.length });
  }

  async #change(
    verb: string,
    body: object,
    { size, ...options }: CallOptions & { size: number },
  ): Promise<EntryErrors> {
    const path = `${this.#path}/${verb}`;
    const answer = await this.#connection.request({ method: "POST", path, body, ...options });
    return errorsOf(listOf<EntryResult>(answer, "results", size));
  }
}

/** The errors of the entries that were refused, by their index. Nearly always empty. */
export type EntryErrors = ReadonlyMap<number, SluiceError>;

const none: EntryErrors = new Map();

function errorsOf(results: readonly EntryResult[]): EntryErrors {
  let errors: Map<number, SluiceError> | undefined;
  for (let index = 0; index < results.length; index++) {
    const result = results[index]!;
    if ("error" in result) (errors ??= new Map()).set(index, entryError(result.error));
  }
  return errors ?? none;
}
