import { createHash } from "node:crypto";
import type { ClientLog } from "./log.ts";
import { kindsAcceptedBy } from "../kinds.ts";
import type { Delivered, OperationName, Operations, Sent, Settled, Written } from "./history.ts";

type Fetch = typeof globalThis.fetch;

interface Attempt {
  operation: OperationName;
  request: Operations[OperationName]["request"];
  /** Turns the body of a success into what the history keeps of it. */
  read: (body: never) => Operations[OperationName]["response"];
  /** It shares its call with another operation: a refusal may be that one's. */
  rides?: boolean;
  /** Its own part of the body of a success; absent: all of it. */
  part?: (body: never) => unknown;
}

/**
 * A `fetch` that writes every attempt of every call into the history: what the SDK repeats is an attempt of its own. So
 * whatever the SDK does, the history has what went over the wire.
 */
export function recordingFetch(log: ClientLog): Fetch {
  const subscriptions = new Map<string, { topic: string; queue: string }>();
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const attempts = readAttempts(url.pathname, init, subscriptions);
    if (attempts.length === 0) return await noting(subscriptions, await fetch(input, init));
    const calls = attempts.map((attempt) => ({
      ...attempt,
      call: log.invoke(attempt.operation, attempt.request),
    }));
    let response: Response;
    let text: string;
    try {
      response = await fetch(input, init);
      text = await response.text();
    } catch (error) {
      const code = codeOf(error);
      for (const { call } of calls) {
        // Nobody listened, so nobody read it.
        if (code === "ECONNREFUSED") log.fail(call, code);
        else log.info(call, code);
      }
      throw error;
    }
    const { status, headers } = response;
    if (status === 401) log.fail(log.invoke("knock", { key: "good" }), text);
    for (const { call, read, rides = false, part = whole } of calls) {
      const own = status < 400 ? part((text === "" ? {} : JSON.parse(text)) as never) : undefined;
      const code = (own as { error?: { code: string } } | undefined)?.error?.code;
      const isRefused = status >= 400 || code !== undefined;
      if (status >= 500 || (code !== undefined && unknown.has(code)) || (rides && isRefused))
        log.info(call, code ?? String(status));
      else if (isRefused) log.fail(call, code ?? `${status} ${text.slice(0, 200)}`);
      else log.ok(call, read(own as never));
    }
    return new Response(text === "" && status === 204 ? null : text, { status, headers });
  };
}

/** Errors of one of several receives that share a call, after which it may have been made all the same. */
const unknown = new Set(["unavailable", "internal"]);

function whole(body: unknown): unknown {
  return body;
}

const routes: [RegExp, (names: string[], body: never, key: string | undefined) => Attempt][] = [
  [
    /^POST \/v1\/topics\/([^/]+)\/messages$/,
    ([topic = ""], body, key) => ({
      operation: "publish",
      request: { topic, ...keyed(key), messages: sent(body) },
      read: written,
    }),
  ],
  [
    /^POST \/v1\/queues\/([^/]+)\/messages$/,
    ([queue = ""], body, key) => ({
      operation: "send",
      request: { queue, ...keyed(key), messages: sent(body) },
      read: written,
    }),
  ],
  [
    /^POST \/v1\/queues\/([^/]+)\/receive$/,
    ([queue = ""], body: { visibilityTimeout?: number }) => received(queue, body),
  ],
  [
    /^POST \/v1\/queues\/([^/]+)\/ack$/,
    ([queue = ""], names: WireNames) => acknowledged(queue, names),
  ],
  [
    /^POST \/v1\/queues\/([^/]+)\/visibility$/,
    ([queue = ""], body: { entries: WireChange[] }) => ({
      operation: "visibility",
      request: {
        queue,
        entries: body.entries.map(({ receiptHandle, visibilityTimeout, received: counts }) => ({
          handle: shortHandle(receiptHandle),
          timeout: visibilityTimeout,
          ...(counts === false && { received: counts }),
        })),
      },
      read: settled,
    }),
  ],
  [/^POST \/v1\/queues\/([^/]+)\/purge$/, ([queue = ""]) => only("purge", { queue })],
  [/^POST \/v1\/queues\/([^/]+)\/redrive$/, ([queue = ""]) => only("redrive", { queue })],
  [
    /^GET \/v1\/queues\/([^/]+)\/redrive$/,
    ([queue = ""]) => ({
      operation: "redrives",
      request: { queue },
      read: ({ redrives }: { redrives: { status: string }[] }) => ({
        running: redrives.some(({ status }) => status === "running"),
      }),
    }),
  ],
  [
    /^DELETE \/v1\/queues\/([^/]+)\/messages\/([^/]+)$/,
    ([queue = "", id = ""]) => only("cancel", { queue, id }),
  ],
  [
    /^PATCH \/v1\/queues\/([^/]+)$/,
    ([queue = ""], { paused }: { paused?: boolean }) =>
      only(paused === true ? "pause" : "resume", { queue }),
  ],
  [
    /^POST \/v1\/topics\/([^/]+)\/subscriptions$/,
    ([topic = ""], { queue }: { queue: string }) => only("subscribe", { topic, queue }),
  ],
];

interface WireChange {
  receiptHandle: string;
  visibilityTimeout: number;
  received?: boolean;
}

function acknowledged(queue: string, { receiptHandles, receipts = [] }: WireNames): Attempt {
  const handles = receiptHandles ?? receipts.flatMap(handlesOf);
  return {
    operation: "acknowledge",
    request: { queue, handles: handles.map(shortHandle) },
    read: receiptHandles === undefined ? settledBy(receipts) : settled,
  };
}

function received(queue: string, { visibilityTimeout: timeout }: WireReceive): Attempt {
  return {
    operation: "receive",
    request: { queue, ...(timeout !== undefined && { timeout }) },
    read: ({ messages, receipts }: WireAnswer) =>
      (messages ?? (receipts ?? []).flatMap(messagesOf)).map(delivered),
  };
}

/** What a receive acknowledges on its way. */
function riding(queue: string, { acknowledge }: WireReceive): Attempt[] {
  if (acknowledge === undefined) return [];
  const attempt = acknowledged(queue, acknowledge);
  const part = (own: { acknowledged?: unknown; error?: unknown }) => {
    if (own.error !== undefined) return own;
    // Of receives that share a call: held up by a lock.
    return own.acknowledged ? { results: own.acknowledged } : { error: { code: "unavailable" } };
  };
  return [{ ...attempt, part, rides: true }];
}

/** Receives that share a call: each is an operation of its own, with a result of its own. */
function receivedTogether({
  receives,
}: {
  receives: (WireReceive & { queue: string })[];
}): Attempt[] {
  return receives.flatMap((one, index) =>
    [received(one.queue, one), ...riding(one.queue, one)].map(
      ({ part = whole, ...attempt }): Attempt => ({
        ...attempt,
        part: ({ results }: { results: never[] }) => part(results[index] as never),
      }),
    ),
  );
}

function refiltered(
  subscription: { topic: string; queue: string },
  { filterPolicy }: { filterPolicy: object | null },
): Attempt {
  return only("refilter", { ...subscription, kinds: kindsAcceptedBy(filterPolicy) });
}

function only(operation: OperationName, request: Operations[OperationName]["request"]): Attempt {
  return { operation, request, read: () => null };
}

function readAttempts(
  path: string,
  init: RequestInit | undefined,
  subscriptions: ReadonlyMap<string, { topic: string; queue: string }>,
): Attempt[] {
  const route = `${init?.method ?? "GET"} ${path}`;
  const [, verb, id = ""] = /^(DELETE|PATCH) \/v1\/subscriptions\/(.+)$/.exec(route) ?? [];
  const subscription = subscriptions.get(id);
  if (subscription !== undefined)
    return [
      verb === "PATCH" ? refiltered(subscription, bodyOf(init)) : only("unsubscribe", subscription),
    ];
  if (route === "POST /v1/receive") return receivedTogether(bodyOf(init));
  for (const [pattern, attempt] of routes) {
    const match = pattern.exec(route);
    if (match === null) continue;
    const body = bodyOf(init);
    const key = new Headers(init?.headers).get("idempotency-key") ?? undefined;
    const names = match.slice(1).map(decodeURIComponent);
    return [attempt(names, body, key), ...riding(names[0] ?? "", body)];
  }
  return [];
}

function bodyOf(init: RequestInit | undefined): never {
  return (typeof init?.body === "string" ? JSON.parse(init.body) : {}) as never;
}

/** Learns which subscription has which id from whatever lists them. */
async function noting(
  subscriptions: Map<string, { topic: string; queue: string }>,
  response: Response,
): Promise<Response> {
  const text = await response.text();
  if (response.ok && text.startsWith('{"subscriptions"')) {
    const listed = JSON.parse(text) as {
      subscriptions: { id: string; topic: string; queue: string }[];
    };
    for (const { id, topic, queue } of listed.subscriptions)
      subscriptions.set(id, { topic, queue });
  }
  const { status, headers } = response;
  return new Response(status === 204 ? null : text, { status, headers });
}

interface WireMessage {
  messageId: string;
  receiptHandle: string;
  body: string;
  attributes: unknown;
  receiveCount: number;
  sentAt: string;
  firstReceivedAt: string;
  groupId?: string;
  sequenceNumber?: string;
}

/** Messages that were stored and received together: what they share is written once. */
interface WireReceipt extends Pick<WireMessage, "receiveCount" | "sentAt" | "firstReceivedAt"> {
  receipt: string;
  bits: string;
  firstSequenceNumber?: string;
  messages: Omit<WireMessage, "receiptHandle">[];
}

interface WireReceive {
  visibilityTimeout?: number;
  acknowledge?: WireNames;
}

interface WireAnswer {
  messages?: WireMessage[];
  receipts?: WireReceipt[];
}

/** Some of the messages of a receipt. */
type WireMark = Pick<WireReceipt, "receipt" | "bits">;

/** What an acknowledgement names. */
interface WireNames {
  receiptHandles?: string[];
  receipts?: WireMark[];
}

function messagesOf({ messages, ...shared }: WireReceipt): WireMessage[] {
  const handles = handlesOf(shared);
  const bits = bitsOf(shared);
  const { firstSequenceNumber: first } = shared;
  return messages.map((message, index) => ({
    ...shared,
    ...message,
    receiptHandle: handles[index] ?? "",
    ...(first !== undefined && {
      sequenceNumber: String(BigInt(first) + BigInt(bits[index] ?? 0)).padStart(20, "0"),
    }),
  }));
}

const bitCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

function handlesOf(mark: WireMark): string[] {
  return bitsOf(mark).map((bit) => mark.receipt + bitCharacters.charAt(bit));
}

function bitsOf({ bits }: Pick<WireMark, "bits">): number[] {
  const set = BigInt(`0x${bits}`);
  return Array.from({ length: 63 }, (_, bit) => bit).filter((bit) => (set >> BigInt(bit)) & 1n);
}

/** One result a receipt, which names the bits that it does not hold for; turned into one a message. */
function settledBy(marks: readonly WireMark[]) {
  return ({ results }: { results: ({ ok: true } | (Refusal & { bits?: string }))[] }): Settled[] =>
    marks.flatMap((mark, index) => {
      const result = results[index];
      if (result === undefined || !("error" in result)) return bitsOf(mark).map(() => "ok");
      const refused = new Set(bitsOf({ bits: result.bits ?? mark.bits }));
      return bitsOf(mark).map((bit) => (refused.has(bit) ? result.error.code : "ok"));
    });
}

interface WireSent {
  body: string;
  attributes?: Record<string, { value?: string }>;
  delay?: number;
  groupId?: string;
  deduplicationId?: string;
}

function sent({ messages }: { messages: WireSent[] }): Sent[] {
  return messages.map(({ body, attributes, delay, groupId, deduplicationId }) => ({
    value: valueOf(body),
    digest: digestOf(body, attributes),
    ...(delay !== undefined && { delay }),
    ...(groupId !== undefined && { group: groupId }),
    ...(deduplicationId !== undefined && { deduplicationId }),
    ...(attributes?.["kind"]?.value !== undefined && { kind: attributes["kind"].value }),
  }));
}

function delivered(message: WireMessage): Delivered {
  const { body, attributes, groupId, sequenceNumber } = message;
  return {
    value: valueOf(body),
    id: message.messageId,
    digest: digestOf(body, attributes),
    handle: shortHandle(message.receiptHandle),
    count: message.receiveCount,
    sentAt: Date.parse(message.sentAt),
    firstAt: Date.parse(message.firstReceivedAt),
    ...(groupId !== undefined && { group: groupId }),
    ...(sequenceNumber !== undefined && { sequence: sequenceNumber }),
  };
}

function written({ results }: { results: ({ messageId: string } | Refusal)[] }): Written[] {
  return results.map((result) =>
    "messageId" in result ? { id: result.messageId } : { code: result.error.code },
  );
}

function settled({ results }: { results: ({ ok: true } | Refusal)[] }): Settled[] {
  return results.map((result) => ("error" in result ? result.error.code : "ok"));
}

interface Refusal {
  error: { code: string };
}

function keyed(key: string | undefined): { key?: string } {
  return key === undefined ? {} : { key };
}

/** What names the message with this body: its first word, or its `value` where it is JSON. */
export function valueOf(body: string): string {
  if (body.startsWith("{")) return (JSON.parse(body) as { value: string }).value;
  const space = body.indexOf(" ");
  return space < 0 ? body : body.slice(0, space);
}

function digestOf(body: string, attributes: unknown): string {
  const entries = Object.entries((attributes ?? {}) as object).toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  );
  const sorted = entries.map(([name, value]) => [
    name,
    Object.entries(value as object).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ]);
  return createHash("sha256")
    .update(body)
    .update("\0")
    .update(JSON.stringify(sorted))
    .digest("base64url")
    .slice(0, 16);
}

/** Handles are long; a history has millions. */
function shortHandle(handle: string): string {
  return createHash("sha256").update(handle).digest("base64url").slice(0, 20);
}

function codeOf(error: unknown): string {
  const { code, name, cause } = error as { code?: string; name?: string; cause?: unknown };
  return (cause as { code?: string } | undefined)?.code ?? code ?? name ?? "unknown";
}
