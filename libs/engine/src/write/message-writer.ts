import type { Directory } from "../directory/directory.ts";
import type { EntryError } from "../errors.ts";
import { acceptMessages, resultsOf } from "../message/accept-messages.ts";
import { fifoMessage } from "../message/fifo-message.ts";
import type { MessageInput } from "../message/message.ts";
import type { Queue } from "../queues/queue-rows.ts";
import type { Topic } from "../topics/topics.ts";
import { BatchWriter, type BatchWriterOptions } from "./batch-writer.ts";
import type { LockWaits } from "./lock-waits.ts";
import type { StoredMessage } from "./stored-call.ts";

export interface WriteOptions {
  /** Repeats with the same key within 5 minutes store nothing again and get the same answer. */
  idempotencyKey?: string | undefined;
  /** Seconds for which whoever recorded the call could make it again: those 5 minutes count from then. Default 0. */
  repeatableFor?: number | undefined;
}

/** What became of one message of a call. */
export type WriteResult = StoredMessage | { error: EntryError };

export interface MessageWriterOptions<Row extends Topic | Queue> extends Omit<
  BatchWriterOptions,
  "waits"
> {
  directory: Directory<Row>;
  /** As `insert`, for FIFO topics or queues: these wait for the locks of theirs. */
  insertFifo: BatchWriterOptions["insert"];
  waits: LockWaits;
  /** Told how many messages were stored, after their commit. */
  stored: (messages: number) => void;
}

/**
 * Stores the messages of calls in topics, or in queues: those that break no rule, with others that come at the same
 * time.
 */
export class MessageWriter<Row extends Topic | Queue> {
  readonly #directory: Directory<Row>;
  readonly #standard: BatchWriter;
  readonly #fifo: BatchWriter;
  readonly #stored: (messages: number) => void;

  constructor({
    directory,
    insert,
    insertFifo,
    waits,
    stored,
    ...common
  }: MessageWriterOptions<Row>) {
    this.#directory = directory;
    this.#standard = new BatchWriter({ ...common, insert });
    this.#fifo = new BatchWriter({ ...common, insert: insertFifo, waits });
    this.#stored = stored;
  }

  /**
   * One result a message, in order, after the commit. A message that breaks a rule is refused alone.
   * @throws {SluiceError} `topic_not_found` or `queue_not_found`, `idempotency_key_reused`, `too_many_requests`,
   * `unavailable`
   */
  async write(
    account: string,
    name: string,
    messages: readonly MessageInput[],
    { idempotencyKey, repeatableFor = 0 }: WriteOptions = {},
  ): Promise<WriteResult[]> {
    const since = performance.now();
    return await this.#directory.use(account, name, async (row) => {
      const { messages: accepted, refusals } = acceptMessages(
        messages,
        row.maxMessageSize,
        row.fifo ? (message) => fifoMessage(message, row) : undefined,
      );
      if (accepted.length === 0) return resultsOf(refusals, []);
      const outcome = await (row.fifo ? this.#fifo : this.#standard).write({
        account,
        targetId: row.id,
        targetName: name,
        messages: accepted,
        since,
        idempotency:
          idempotencyKey === undefined
            ? undefined
            : { key: idempotencyKey, messageCount: messages.length, repeatableFor },
      });
      if (!outcome.repeated) this.#stored(accepted.length);
      return resultsOf(refusals, outcome.messages);
    });
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    await Promise.all([this.#standard.idle(), this.#fifo.idle()]);
  }
}
