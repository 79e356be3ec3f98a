import { classifyFailure, numbers, texts, type Sql } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import type { Payloads } from "../receive/payloads.ts";
import { GroupCommit } from "./group-commit.ts";

/** One call's accepted messages, on their way into a topic or queue. */
export interface WriteRequest {
  account: string;
  targetId: string;
  targetName: string;
  /** Serialised messages; see serializeMessage. At least one. */
  lines: readonly string[];
  /** UTF-8 bytes of all lines. */
  bytes: number;
  /** Seconds of delay for each line, -1 for the queue's own; queues only. */
  delays?: readonly number[] | undefined;
  firstMessageId: string;
  idempotency?: { key: string; messageCount: number } | undefined;
}

/** Up to 63 messages that become one row of `batches`. */
export interface NewBatch {
  account: string;
  targetId: string;
  lines: string[];
  delays: number[];
}

export interface IdempotencyKey {
  account: string;
  key: string;
  targetId: string;
  messageCount: number;
  firstMessageId: string;
}

/** A batch that the statement stored: `position` counts the batches handed to it from 1. */
export interface StoredBatch {
  position: number;
  id: string;
}

export interface BatchWriterOptions {
  sql: Sql;
  kind: "topic" | "queue";
  payloads: Payloads;
  /** Stores batches and keys in one statement; batches whose topic or queue is gone are left out of the answer. */
  insert: (batches: NewBatch[], keys: IdempotencyKey[]) => Promise<StoredBatch[]>;
  /** Told after the commit; hints only. */
  committed: (stored: StoredBatch[], batches: NewBatch[]) => void;
  notFound: (name: string) => SluiceError;
}

/** A set of a batch's messages is one non-negative bigint, so a batch has at most 63. */
export const MAX_BATCH_MESSAGES = 63;
/** A bigger message gets a batch of its own: reading one message must not mean reading megabytes. */
const MAX_BATCH_SIZE = 256 * 1024;
const MAX_ROUND_BYTES = 4 * 1024 * 1024;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/**
 * Group commit of publishes (or sends): all requests of a round go down in one statement, which is one transaction,
 * and each is answered after its commit, never before.
 */
export class BatchWriter {
  readonly #options: BatchWriterOptions;
  readonly #commits: GroupCommit<WriteRequest, string>;

  constructor(options: BatchWriterOptions) {
    this.#options = options;
    this.#commits = new GroupCommit({
      write: (requests) => this.#writeRound(requests),
      weigh: (request) => request.bytes,
      maxRound: MAX_ROUND_BYTES,
      maxWaiting: MAX_WAITING_BYTES,
    });
  }

  /** Resolves after the commit with the id of the call's first message (an earlier call's for a repeated key). */
  write(request: WriteRequest): Promise<string> {
    return this.#commits.add(request);
  }

  idle(): Promise<void> {
    return this.#commits.idle();
  }

  async #writeRound(requests: WriteRequest[]): Promise<(string | Error)[]> {
    const outcome = new Map<WriteRequest, string | Error>();
    let left = requests;
    while (left.length > 0) {
      // Two calls with one key cannot go down together: the second one waits and then finds the first one's answer.
      const { first, repeated } = partByKey(left);
      left = [...(await this.#writeOnce(first, outcome)), ...repeated];
    }
    return requests.map(
      (request) => outcome.get(request) ?? new Error("a request was lost from its round"),
    );
  }

  /** Writes the requests and notes their outcomes; returns those that have to be tried again. */
  async #writeOnce(
    requests: WriteRequest[],
    outcome: Map<WriteRequest, string | Error>,
  ): Promise<WriteRequest[]> {
    try {
      const batches = cutIntoBatches(requests);
      const stored = await this.#options.insert(batches, keysOf(requests));
      this.#settle(requests, batches, stored, outcome);
      return [];
    } catch (error) {
      const failure = classifyFailure(error);
      if (failure === "unique-violation") return await this.#answerRepeats(requests, outcome);
      // Postgres refused the statement, so nothing was stored: find the request that it refuses.
      if (failure === "refused" && requests.length > 1) {
        const again: WriteRequest[] = [];
        for (const request of requests) again.push(...(await this.#writeOnce([request], outcome)));
        return again;
      }
      for (const request of requests) outcome.set(request, error as Error);
      return [];
    }
  }

  #settle(
    requests: WriteRequest[],
    batches: NewBatch[],
    stored: StoredBatch[],
    outcome: Map<WriteRequest, string | Error>,
  ): void {
    const found = new Set<string>();
    for (const { position, id } of stored) {
      const batch = batches[position - 1];
      if (!batch) continue;
      found.add(batch.targetId);
      this.#options.payloads.put(id, batch.lines);
    }
    if (stored.length > 0) this.#options.committed(stored, batches);
    for (const request of requests) {
      outcome.set(
        request,
        found.has(request.targetId)
          ? request.firstMessageId
          : this.#options.notFound(request.targetName),
      );
    }
  }

  /** Some keys of the round are known already: answers those requests, returns the others. */
  async #answerRepeats(
    requests: WriteRequest[],
    outcome: Map<WriteRequest, string | Error>,
  ): Promise<WriteRequest[]> {
    const keys = keysOf(requests);
    const known = await this.#options.sql<KnownKey[]>`
      SELECT k.account, k.key, k.target_kind, k.target_id, k.message_count, k.first_message_id
      FROM unnest(${numbers(keys.map((key) => key.account))}::bigint[], ${texts(keys.map((key) => key.key))}::text[])
        AS wanted(account, key)
      JOIN idempotency_keys k ON k.account = wanted.account AND k.key = wanted.key`;
    const byKey = new Map(known.map((row) => [identity(row.account, row.key), row]));
    return requests.filter((request) => {
      if (!request.idempotency) return true;
      const row = byKey.get(identity(request.account, request.idempotency.key));
      if (!row) return true;
      outcome.set(request, this.#isSameCall(row, request) ? row.first_message_id : keyReused());
      return false;
    });
  }

  #isSameCall(row: KnownKey, request: WriteRequest): boolean {
    return (
      row.target_kind === this.#options.kind &&
      row.target_id === request.targetId &&
      row.message_count === request.idempotency?.messageCount
    );
  }
}

interface KnownKey {
  account: string;
  key: string;
  target_kind: "topic" | "queue";
  target_id: string;
  message_count: number;
  first_message_id: string;
}

function partByKey(requests: WriteRequest[]): { first: WriteRequest[]; repeated: WriteRequest[] } {
  const seen = new Set<string>();
  const first: WriteRequest[] = [];
  const repeated: WriteRequest[] = [];
  for (const request of requests) {
    const key = request.idempotency && identity(request.account, request.idempotency.key);
    if (key !== undefined && seen.has(key)) repeated.push(request);
    else first.push(request);
    if (key !== undefined) seen.add(key);
  }
  return { first, repeated };
}

/** Merges the messages of each topic or queue, in order of arrival, into as few batches as the bounds allow. */
export function cutIntoBatches(requests: readonly WriteRequest[]): NewBatch[] {
  const batches: NewBatch[] = [];
  const open = new Map<string, { batch: NewBatch; size: number }>();
  for (const request of requests) {
    request.lines.forEach((line, index) => {
      // Characters: near enough to bytes for this bound, and there is nothing to count.
      const size = line.length;
      let current = open.get(request.targetId);
      if (
        !current ||
        current.batch.lines.length === MAX_BATCH_MESSAGES ||
        current.size + size > MAX_BATCH_SIZE
      ) {
        const batch = {
          account: request.account,
          targetId: request.targetId,
          lines: [],
          delays: [],
        };
        current = { batch, size: 0 };
        open.set(request.targetId, current);
        batches.push(batch);
      }
      current.batch.lines.push(line);
      current.batch.delays.push(request.delays?.[index] ?? -1);
      current.size += size;
    });
  }
  return batches;
}

function keysOf(requests: readonly WriteRequest[]): IdempotencyKey[] {
  return requests.flatMap(({ account, targetId, firstMessageId, idempotency }) =>
    idempotency ? [{ account, targetId, firstMessageId, ...idempotency }] : [],
  );
}

function identity(account: string, key: string): string {
  return `${BigInt(account)}/${key}`;
}

function keyReused(): SluiceError {
  return new SluiceError(
    "idempotency_key_reused",
    "this Idempotency-Key was used for another topic or queue, or with another number of messages; use a new key for a new call",
  );
}
