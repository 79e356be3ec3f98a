import { SluiceError } from "@sluice/client";
import type {
  ApiRequest,
  Connection,
  ErrorDetail,
  QueueDeclaration,
  TopicDeclaration,
} from "@sluice/client";
import {
  entryError,
  invalidOption,
  listOf,
  nameOf,
  queuePath,
  reworded,
  topicPath,
} from "@sluice/client/internal";
import { callBody, splitIntoChunks } from "./chunks.ts";
import type { CallOptions } from "./message-options.ts";
import type { PublishResult } from "./publish-error.ts";

/** Where messages go: a topic or a queue, whatever it carries. */
export type Destination<Input> =
  TopicDeclaration<Input, unknown> | QueueDeclaration<Input, unknown>;

export interface Written {
  /** One result an entry, in the order given. */
  readonly results: readonly PublishResult[];
  /** The error of the call that was refused as a whole, which ended the writing. */
  readonly failure?: SluiceError;
}

/** How often a call is made again without the messages that it was refused for: each refusal names ten at most. */
const maxRefusals = 10;

/**
 * Writes the entries in as few calls as the limits allow, one after another, so that they are committed in the order
 * given.
 *
 * Entries that the server names as out of rule are refused alone. A call that fails for good otherwise ends it: its
 * entries, and all that come after them, get its error.
 */
export async function write(
  connection: Connection,
  destination: Destination<never>,
  { entries, placeOf, method, call, waitedMs = 0 }: Writing,
): Promise<Written> {
  const path = messagesPath(destination);
  const key = call.idempotencyKey === undefined ? randomKey() : checkedKey(call.idempotencyKey);
  const results: PublishResult[] = [];
  for (const [index, { from, to }] of splitIntoChunks(entries, placeOf).entries()) {
    const whole = from === 0 && to === entries.length;
    const part = {
      entries: whole ? entries : entries.slice(from, to),
      placeOf: (at: number) => placeOf(from + at),
    };
    const request = {
      path,
      call: `producer.${method}`,
      // The same key on every attempt of this call: a repeat of one that was stored stores nothing. No key of the
      // caller's has a space.
      idempotencyKey: index === 0 ? key : `${key} ${index}`,
      signal: call.signal,
      waitedMs,
    };
    const { results: some, failure } = await writePart(connection, part, request);
    results.push(...some);
    if (failure === undefined) continue;
    while (results.length < entries.length) results.push({ error: failure });
    return { results, failure };
  }
  return { results };
}

export type WriteMethod = "publish" | "publishAll" | "send" | "sendAll";

/** What sends one message to a destination of each kind, and what sends many. */
export const oneBy = { topic: "publish", queue: "send" } as const;
export const manyBy = { topic: "publishAll", queue: "sendAll" } as const;

interface Part {
  readonly entries: readonly string[];
  /** How errors call an entry, such as `payloads.3`. */
  readonly placeOf: (index: number) => string;
}

interface Writing extends Part {
  /** Of the producer, for errors. */
  readonly method: WriteMethod;
  readonly call: CallOptions;
  readonly waitedMs?: number;
}

/**
 * One call. When the server refuses it for some of its entries, it is made again without them, under the same key: what
 * is refused so is not stored, however often it comes.
 */
async function writePart(
  connection: Connection,
  { entries, placeOf }: Part,
  request: Omit<ApiRequest, "method" | "body">,
  refusals = 0,
): Promise<Written> {
  try {
    const body = callBody(entries);
    const answer = await connection.request({ method: "POST", body, field: "results", ...request });
    const results = listOf<WireResult>(answer, "results", entries.length);
    const call = nameOf({ method: "POST", ...request });
    return { results: results.map((result) => read(result, call)) };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    const refused = refusedEntries(error, placeOf);
    if (refused.size === 0 || refused.size === entries.length || refusals === maxRefusals) {
      const failure = located(error, placeOf);
      return { results: entries.map(() => ({ error: failure })), failure };
    }
    const kept = [...entries.keys()].filter((index) => !refused.has(index));
    const others = {
      entries: kept.map((index) => entries[index]!),
      placeOf: (at: number) => placeOf(kept[at]!),
    };
    const again = await writePart(connection, others, request, refusals + 1);
    const rest = again.results.values();
    const results = entries.map((_, index) => refused.get(index) ?? rest.next().value!);
    return { ...again, results };
  }
}

export function messagesPath(destination: Destination<never>): string {
  const path = destination.kind === "topic" ? topicPath(destination) : queuePath(destination);
  return `${path}/messages`;
}

interface WireResult {
  readonly messageId: string;
  readonly sequenceNumber?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

function read(result: WireResult, call: string): PublishResult {
  if (result.error !== undefined) return { error: entryError(result.error, { call }) };
  const { messageId, sequenceNumber } = result;
  return sequenceNumber === undefined ? { messageId } : { messageId, sequenceNumber };
}

const place = /^messages\.(\d+)(?=\.|$)/;

/** What a refusal says of single entries, by their index; nothing when it is about something else as well. */
function refusedEntries(
  { code, status, details, outcomeUnknown, call }: SluiceError,
  placeOf: Part["placeOf"],
): Map<number, { readonly error: SluiceError }> {
  const refused = new Map<number, { readonly error: SluiceError }>();
  if (code !== "invalid_request") return refused;
  const byIndex = new Map<number, ErrorDetail[]>();
  for (const { path, message } of details) {
    const index = Number(place.exec(path)?.[1] ?? -1);
    if (index < 0) return refused;
    const own = { path: path.replace(place, placeOf(index)), message };
    byIndex.set(index, [...(byIndex.get(index) ?? []), own]);
  }
  for (const [index, own] of byIndex) {
    const told = own.map(({ path, message }) => `${path}: ${message}`).join("; ");
    const error = new SluiceError(code, told, { status, details: own, outcomeUnknown, call });
    refused.set(index, { error });
  }
  return refused;
}

/** The same error in the caller's words: what it calls entries of the call by their place there. */
function located(error: SluiceError, placeOf: Part["placeOf"]): SluiceError {
  if (!error.details.some(({ path }) => place.test(path))) return error;
  return reworded(error, (text) => text.replace(place, (_, index) => placeOf(Number(index))));
}

/** 128 random bits; not `randomUUID()`, which browsers offer on HTTPS pages only. */
function randomKey(): string {
  if (used === stock.length) {
    crypto.getRandomValues(stock);
    used = 0;
  }
  let key = "";
  for (const end = used + 4; used < end; used++) key += hex(stock[used] ?? 0);
  return key;
}

/**
 * Random numbers, each used once: to ask for those of each key was a sixth of what a publish costs the producer (8 of
 * 48 µs).
 */
const stock = new Uint32Array(1_024);
let used = stock.length;

function hex(number: number): string {
  return number.toString(16).padStart(8, "0");
}

function checkedKey(key: string): string {
  if (/^[!-~]{1,120}$/.test(key)) return key;
  throw invalidOption("idempotencyKey", "expected 1 to 120 visible ASCII characters");
}
