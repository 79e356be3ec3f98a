import { kindsAcceptedBy } from "../kinds.ts";
import type { OperationName, Operations } from "./history.ts";
import {
  delivered,
  handlesOf,
  messagesOf,
  sent,
  settled,
  settledBy,
  shortHandle,
  written,
} from "./wire.ts";
import type { WireAnswer, WireChange, WireNames, WireReceive } from "./wire.ts";

/** An operation that a call tries: what it asks for, and how to read its answer. */
export interface Attempt {
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
 * What a call tries.
 *
 * @param subscriptions - which one has which id
 */
export function readAttempts(
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

function bodyOf(init: RequestInit | undefined): never {
  return (typeof init?.body === "string" ? JSON.parse(init.body) : {}) as never;
}

function keyed(key: string | undefined): { key?: string } {
  return key === undefined ? {} : { key };
}

export function whole(body: unknown): unknown {
  return body;
}
