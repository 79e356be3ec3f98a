import { numbers, texts, type Sql } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import type { WriteOutcome, WriteRequest } from "./batch-writer.ts";
import type { Results } from "./in-order.ts";
import { answerOf, encodeStoredCall, type StoredCall } from "./stored-call.ts";

export interface IdempotencyKey {
  account: string;
  key: string;
  targetId: string;
  messageCount: number;
  /** Seconds before the window of its repeats begins; see WriteOptions. */
  repeatableFor: number;
  storedCall: string;
}

/** The keys of calls, each with what answers a repeat. */
export function keysOf(calls: ReadonlyMap<WriteRequest, StoredCall>): IdempotencyKey[] {
  return [...calls].flatMap(([{ account, targetId, idempotency }, call]) =>
    idempotency ? [{ account, targetId, ...idempotency, storedCall: encodeStoredCall(call) }] : [],
  );
}

/** The calls that may go down together, and those of which another one has the key. */
export function partByKey(requests: WriteRequest[]): {
  first: WriteRequest[];
  repeated: WriteRequest[];
} {
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

/** Some keys of the round are known already: answers those requests, returns the others. */
export async function answerRepeats(
  { sql, kind }: { sql: Sql; kind: "topic" | "queue" },
  requests: WriteRequest[],
  outcomes: Results<WriteRequest, WriteOutcome>,
): Promise<WriteRequest[]> {
  const keyed = requests.filter((request) => request.idempotency);
  const known = await sql<KnownKey[]>`
    SELECT k.account, k.key, k.target_kind, k.target_id, k.message_count, k.stored_call
    FROM unnest(${numbers(keyed.map(({ account }) => account))}::bigint[],
                ${texts(keyed.map(({ idempotency }) => idempotency?.key ?? ""))}::text[]) AS wanted(account, key)
    JOIN idempotency_keys k ON k.account = wanted.account AND k.key = wanted.key`;
  const byKey = new Map(known.map((row) => [identity(row.account, row.key), row]));
  return requests.filter((request) => {
    const row =
      request.idempotency && byKey.get(identity(request.account, request.idempotency.key));
    if (!row) return true;
    const messages = answerOf(row.stored_call);
    // Where another part of the call was refused than now, nobody can tell which message is which.
    const isSame =
      row.target_kind === kind &&
      isSameCall(row, request) &&
      messages.length === request.messages.length;
    outcomes.set(request, isSame ? { messages, repeated: true } : keyReused());
    return false;
  });
}

interface KnownKey {
  account: string;
  key: string;
  target_kind: "topic" | "queue";
  target_id: string;
  message_count: number;
  stored_call: string;
}

function isSameCall(row: KnownKey, request: WriteRequest): boolean {
  return (
    row.target_id === request.targetId && row.message_count === request.idempotency?.messageCount
  );
}

function identity(account: string, key: string): string {
  return `${BigInt(account)}/${key}`;
}

function keyReused(): SluiceError {
  return new SluiceError(
    "idempotency_key_reused",
    "this Idempotency-Key was used for another topic or queue, or with another number of messages, or of messages that were accepted; use a new key for a new call",
  );
}
