import { classifyFailure, isLockNotAvailable, type Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { SluiceError } from "../errors.ts";
import type { AcceptedMessage } from "../message/accept-messages.ts";
import { messageIdOf, newCallStamp, type CallStamp } from "../message/message-ids.ts";
import type { Payloads } from "../receive/payloads.ts";
import type { BatchIds } from "./batch-ids.ts";
import { cutIntoBatches } from "./cut-into-batches.ts";
import { GroupCommit } from "./group-commit.ts";
import { answerRepeats, keysOf, partByKey, type IdempotencyKey } from "./idempotency-keys.ts";
import { InOrder, resultOf, type Results } from "./in-order.ts";
import type { LockWaits } from "./lock-waits.ts";
import { messagesOf, type StoredCall, type StoredMessage } from "./stored-call.ts";
import { isTooLate, tooLate } from "./too-late.ts";

/** One call's accepted messages, on their way into a topic or queue. */
export interface WriteRequest {
  account: string;
  targetId: string;
  targetName: string;
  /** At least one. */
  messages: readonly AcceptedMessage[];
  /** Since when it waits, by the clock of this process in ms. */
  since: number;
  idempotency?: Pick<IdempotencyKey, "key" | "messageCount" | "repeatableFor"> | undefined;
}

/** A batch as it is stored. */
export interface NewBatch {
  id: string;
  account: string;
  targetId: string;
  /** Serialised messages with their ids. */
  lines: string[];
  /** What the lines were made of. */
  messages: readonly AcceptedMessage[];
  /** Seconds, -1 for the queue's own; one for each line. */
  delays: number[];
  /** "" for none; one for each line. */
  groupIds: string[];
}

/** What became of a call. */
export interface WriteOutcome {
  /** One for each of its messages, in order. */
  messages: StoredMessage[];
  /** Whether an earlier call with the same key stored the messages; this one then stored nothing. */
  repeated: boolean;
}

/** What one transaction stored. */
export interface Inserted {
  /**
   * The ids of the batches whose topic or queue still exists. Where messages may be duplicates of others: what became
   * of each one, by batch and bit.
   */
  stored: readonly string[] | ReadonlyMap<string, readonly StoredMessage[]>;
  /** Tells whoever goes on with the batches; hints only. */
  announce: () => void;
}

export interface BatchWriterOptions {
  sql: Sql;
  kind: "topic" | "queue";
  payloads: Payloads;
  batchIds: BatchIds;
  /**
   * Stores batches and keys in one transaction.
   *
   * @param lockTimeout - How long it waits for each lock, where it is among those that `waits`; else as long as it may.
   */
  insert: (
    batches: NewBatch[],
    keys: IdempotencyKey[],
    lockTimeout: string | undefined,
  ) => Promise<Inserted>;
  /**
   * Where its transactions wait for locks of their topics or queues, when these have not been free soon; default: they
   * wait for none.
   */
  waits?: LockWaits;
  notFound: (name: string) => SluiceError;
}

type Outcomes = Results<WriteRequest, WriteOutcome>;

const MAX_ROUND_BYTES = 4 * 1024 * 1024;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/**
 * What a FIFO message counts for beside its bytes: it is a row of its own, and takes some 0.1 ms. So there are 4,000 in
 * a round, and 60,000 wait.
 */
const FIFO_MESSAGE_BYTES = 1_024;

/**
 * Group commit of publishes (or sends): all requests of a round go down in one statement, which is one transaction,
 * and each is answered after its commit, never before.
 */
export class BatchWriter {
  readonly #options: BatchWriterOptions;
  readonly #commits: Pick<GroupCommit<WriteRequest, WriteOutcome>, "add" | "idle">;

  constructor(options: BatchWriterOptions) {
    this.#options = options;
    const { waits } = options;
    const costOfEach = waits ? FIFO_MESSAGE_BYTES : 0;
    const common = {
      weigh: ({ messages }: WriteRequest) =>
        messages.reduce((sum, message) => sum + message.bytes + costOfEach, 0),
      maxRound: MAX_ROUND_BYTES,
      maxWaiting: MAX_WAITING_BYTES,
    };
    this.#commits = waits
      ? new InOrder({
          ...common,
          waits,
          targetOf: ({ targetId }) => targetId,
          write: (requests, outcomes, lockTimeout) =>
            this.#writeRound(requests, outcomes, lockTimeout),
        })
      : new GroupCommit({
          ...common,
          write: async (requests) => {
            const outcomes: Outcomes = new Map();
            await this.#writeRound(requests, outcomes);
            return requests.map((request) => resultOf(request, outcomes));
          },
        });
  }

  /** Resolves after the commit with where the call's messages are stored. */
  write(request: WriteRequest): Promise<WriteOutcome> {
    return this.#commits.add(request);
  }

  idle(): Promise<void> {
    return this.#commits.idle();
  }

  /** Where it gives up a lock it has written what it knows the outcomes of, and nothing else. */
  async #writeRound(
    requests: WriteRequest[],
    outcomes: Outcomes,
    lockTimeout?: string,
  ): Promise<void> {
    let left: WriteRequest[] = [];
    for (const request of requests) {
      if (isTooLate(request.since)) outcomes.set(request, tooLate());
      else left.push(request);
    }
    while (left.length > 0) {
      // Two calls with one key cannot go down together: the second one waits and then finds the first one's answer.
      const { first, repeated } = partByKey(left);
      left = [...(await this.#writeOnce(first, outcomes, lockTimeout)), ...repeated];
    }
  }

  /** Writes the requests and notes their outcomes; returns those that have to be tried again. */
  async #writeOnce(
    requests: WriteRequest[],
    outcomes: Outcomes,
    lockTimeout: string | undefined,
  ): Promise<WriteRequest[]> {
    let batches: NewBatch[] = [];
    try {
      const placed = await this.#place(requests);
      // It may have stood still while it asked for ids.
      if (requests.some(({ since }) => isTooLate(since))) throw tooLate();
      const { calls } = placed;
      ({ batches } = placed);
      // By the time that anybody can receive them they are at hand.
      for (const { id, lines } of batches) this.#options.payloads.put(id, lines);
      failpoint("write.before-commit");
      const { stored, announce } = await this.#options.insert(batches, keysOf(calls), lockTimeout);
      failpoint("write.committed");
      const ids = new Set<string>("has" in stored ? stored.keys() : stored);
      this.#settle(
        {
          calls,
          stored: batches.filter((batch) => ids.has(batch.id)),
          answer: stored instanceof Map ? (call) => answerFrom(stored, call) : messagesOf,
          announce,
        },
        outcomes,
      );
      failpoint("write.before-answer");
      return [];
    } catch (error) {
      // Where somebody else has stored another batch by this id, as after a standby was promoted, that is the one to be
      // read.
      for (const { id } of batches) this.#options.payloads.delete(id);
      if (lockTimeout !== undefined && isLockNotAvailable(error)) throw error;
      const failure = classifyFailure(error);
      if (failure === "unique-violation") {
        return await answerRepeats(this.#options, requests, outcomes);
      }
      // Postgres refused the statement, so nothing was stored: find the request that it refuses.
      if (failure === "refused" && requests.length > 1) {
        const again: WriteRequest[] = [];
        for (const request of requests)
          again.push(...(await this.#writeOnce([request], outcomes, lockTimeout)));
        return again;
      }
      for (const request of requests) outcomes.set(request, error as Error);
      return [];
    }
  }

  /** Gives each message its place, and so its id. */
  async #place(requests: readonly WriteRequest[]): Promise<{
    batches: NewBatch[];
    calls: Map<WriteRequest, StoredCall>;
  }> {
    const drafts = cutIntoBatches(requests);
    const ids = await this.#options.batchIds.take(drafts.length);
    const calls = new Map<WriteRequest, StoredCall>(
      requests.map((request) => [request, { stamp: newCallStamp(), runs: [] }]),
    );
    const batches = drafts.map((draft, index): NewBatch => {
      const batchId = ids[index] ?? "";
      const { account, targetId } = draft;
      const lines = draft.messages.map((message, bit) => {
        const call = calls.get(draft.requests[bit] as WriteRequest) as StoredCall;
        extendRuns(call, batchId, bit);
        return lineOf(call.stamp, { batchId, bit, line: message.line });
      });
      return {
        id: batchId,
        account,
        targetId,
        lines,
        messages: draft.messages,
        delays: draft.messages.map(({ delay }) => delay),
        groupIds: draft.messages.map(({ groupId }) => groupId),
      };
    });
    return { batches, calls };
  }

  #settle(
    {
      calls,
      stored,
      answer,
      announce,
    }: {
      calls: Map<WriteRequest, StoredCall>;
      stored: readonly NewBatch[];
      answer: (call: StoredCall) => StoredMessage[];
      announce: () => void;
    },
    outcomes: Outcomes,
  ): void {
    const found = new Set(stored.map((batch) => batch.targetId));
    if (stored.length > 0) announce();
    for (const [request, call] of calls) {
      outcomes.set(
        request,
        found.has(request.targetId)
          ? { messages: answer(call), repeated: false }
          : this.#options.notFound(request.targetName),
      );
    }
  }
}

/** How much is stored, in characters. */
export function lengthOf(batches: readonly NewBatch[]): number {
  return batches.reduce((sum, { lines }) => lines.reduce((of, line) => of + line.length, sum), 0);
}

/** The topics or queues of batches. */
export function targetsOf(batches: readonly NewBatch[]): string[] {
  return [...new Set(batches.map(({ targetId }) => targetId))];
}

function extendRuns({ runs }: StoredCall, batchId: string, bit: number): void {
  const last = runs.at(-1);
  if (last?.batchId === batchId && last.firstBit + last.count === bit) last.count += 1;
  else runs.push({ batchId, firstBit: bit, count: 1 });
}

function answerFrom(
  inserted: ReadonlyMap<string, readonly StoredMessage[]>,
  { runs }: StoredCall,
): StoredMessage[] {
  return runs.flatMap(({ batchId, firstBit, count }) =>
    (inserted.get(batchId) ?? []).slice(firstBit, firstBit + count),
  );
}

function lineOf(
  stamp: CallStamp,
  { batchId, bit, line }: { batchId: string; bit: number; line: string },
): string {
  return `"messageId":"${messageIdOf(stamp, { batchId, bit })}",${line}`;
}
