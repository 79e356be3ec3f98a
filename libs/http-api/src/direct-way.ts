import type { IncomingMessage, ServerResponse } from "node:http";

import type { AccessKeys, Engine } from "@sluice/engine";

import { keyOf } from "./authentication/authentication.ts";
import { MAX_BODY_BYTES } from "./body.ts";
import type { ApiEnv, Call } from "./environment.ts";
import { errorAnswer, isForTheLog, toSluiceError } from "./errors.ts";
import type { Guard } from "./pages.ts";

/** An endpoint that is called for each message or two; `hotEndpoint` makes one. */
export interface HotRoute {
  /** `/v1/queues/:queue/receive` */
  pattern: string;
  /** The JSON of a success. */
  answer: (c: Call, params: Record<string, string>) => Promise<string | Buffer>;
}

/** Answers a request, or hands it on, untouched. */
export type DirectWay = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  next: () => void,
) => void;

export interface DirectWayOptions {
  engine: Engine;
  account: string;
  accessKeys: AccessKeys | undefined;
  report: (error: unknown) => void;
  guard: Guard | undefined;
  onRequest: ((request: AnsweredRequest) => void) | undefined;
}

/** What is told of a request once it is answered. */
export interface AnsweredRequest {
  method: string;
  route: string;
  status: number;
  seconds: number;
}

interface Found {
  route: HotRoute;
  params: Record<string, string>;
}

/**
 * The way from the socket to the hot endpoints and back that leaves out Hono, `Request`, `Response` and their streams:
 * of CPU time a receive that finds nothing takes 63 µs here and 88 µs there, a publish of one message 67 and 95 (32
 * calls under way, Node 20).
 *
 * It takes the requests that clients make as a rule, and hands everything else to the app, where the same endpoints
 * are: another method, a query, names that are escaped or none, bodies of unknown length, keys that open nothing. So
 * there is one place that knows what to do with those.
 */
export function directWay(routes: readonly HotRoute[], options: DirectWayOptions): DirectWay {
  const find = finder(routes);
  return (incoming, outgoing, next) => {
    const started = performance.now();
    const found = find(incoming.url ?? "");
    if (!found || !hasJson(incoming) || !isOrdinary(incoming) || isRefused(incoming, options)) {
      next();
      return;
    }
    callerOf(incoming, options).then(
      (caller) => {
        if (caller) void run(found, { incoming, outgoing, caller, started }, options);
        else next();
      },
      // The database is away, and so it is for the app.
      next,
    );
  };
}

/**
 * `/v1/queues/` `name` `/receive`, where the name needs no second look: nothing escaped, no dots but those of `.fifo`.
 */
const PATH = /^(\/v1\/[a-z]+\/)([A-Za-z0-9_-]+(?:\.fifo)?)(\/[a-z]+)$/;

function finder(routes: readonly HotRoute[]): (url: string) => Found | undefined {
  const alone = new Map<string, Found>();
  const known = new Map<string, { route: HotRoute; parameter: string }>();
  for (const route of routes) {
    const [, before = "", parameter, after = ""] = /^(.*):(\w+)(.*)$/.exec(route.pattern) ?? [];
    if (parameter === undefined) alone.set(route.pattern, { route, params: {} });
    else known.set(before + after, { route, parameter });
  }
  return (url) => {
    const parts = PATH.exec(url);
    if (!parts) return alone.get(url);
    const match = known.get(`${parts[1]}${parts[3]}`);
    return match && { route: match.route, params: { [match.parameter]: parts[2] ?? "" } };
  };
}

/** One that URLs may have: names in networks of containers have underscores. */
const HOST = /^[a-z0-9._-]+(:\d{1,5})?$/;

/**
 * A POST with nothing in its headers that more than one reading is possible of, and a body of a known length that is
 * not compressed.
 */
export function isOrdinary(incoming: IncomingMessage): boolean {
  const { method, headers } = incoming;
  return (
    method === "POST" &&
    hasEachHeaderOnce(incoming) &&
    Number(headers["content-length"]) <= MAX_BODY_BYTES &&
    headers["content-encoding"] === undefined &&
    HOST.test(headers.host ?? "")
  );
}

function hasJson({ headers }: IncomingMessage): boolean {
  return headers["content-type"] === "application/json";
}

function isRefused({ headers }: IncomingMessage, { guard }: DirectWayOptions): boolean {
  return guard?.((name) => headers[name] as string | undefined) !== undefined;
}

/**
 * Of two of some names Node tells the first, and the objects of the fetch API, which the app reads, both as one list.
 */
function hasEachHeaderOnce({ headers, rawHeaders }: IncomingMessage): boolean {
  return Object.keys(headers).length * 2 === rawHeaders.length;
}

type Caller = Pick<ApiEnv["Variables"], "account" | "watchKey">;

/** Undefined for somebody who is not let in. */
async function callerOf(
  { headers }: IncomingMessage,
  { account, accessKeys }: DirectWayOptions,
): Promise<Caller | undefined> {
  if (!accessKeys) return { account, watchKey: undefined };
  const key = await keyOf(accessKeys, headers.authorization);
  return (
    key && {
      account: key.account,
      watchKey: (onDisabled) => accessKeys.watch(key.id, onDisabled),
    }
  );
}

interface Exchange {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  caller: Caller;
  started: number;
}

async function run(
  { route, params }: Found,
  { incoming, outgoing, caller, started }: Exchange,
  { engine, report, onRequest }: DirectWayOptions,
): Promise<void> {
  const call: Call = {
    var: { engine, report, ...caller },
    env: { incoming, outgoing },
    req: { header: (name) => incoming.headers[name] as string | undefined },
  };
  let status = 200;
  try {
    writeAnswer(outgoing, { status, headers: JSON_ONLY, body: await route.answer(call, params) });
  } catch (error) {
    const known = toSluiceError(error);
    if (isForTheLog(known)) report(error);
    const { body, headers, ...answer } = errorAnswer(known);
    ({ status } = answer);
    writeAnswer(outgoing, {
      status,
      headers: { ...JSON_ONLY, ...headers },
      body: JSON.stringify(body),
    });
  }
  const seconds = (performance.now() - started) / 1_000;
  onRequest?.({ method: "POST", route: route.pattern, status, seconds });
}

const JSON_ONLY = { "content-type": "application/json" };

/** Ends a response, with the length of its body. */
export function writeAnswer(
  outgoing: ServerResponse,
  {
    status,
    headers,
    body,
  }: { status: number; headers: Record<string, string>; body: string | Buffer },
): void {
  outgoing.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
  outgoing.end(body);
}
