import type { IncomingMessage, ServerResponse } from "node:http";

import {
  hasEachHeaderOnce,
  MAX_BODY_BYTES,
  type DirectWay,
  type Surroundings,
} from "@sluice/http-api";

import type { Origins } from "./origin.ts";
import type { AwsRequest } from "./request.ts";
import type { AwsAnswer } from "./wire/answer.ts";

/**
 * The way of nearly all calls: from Node's request to its response, without Hono and without the objects of the fetch API
 * between. It decides nothing but which requests are plain enough; those that are not come to the same answer by their routes.
 */
export function directWay(
  surroundings: Surroundings,
  origins: Origins,
  answer: (request: AwsRequest) => Promise<AwsAnswer>,
): DirectWay {
  return (incoming, outgoing, next) => {
    const origin = isPlain(incoming) ? originOf(incoming, origins) : undefined;
    if (origin === undefined) {
      next();
      return;
    }
    const started = performance.now();
    const request = requestFrom({ incoming, outgoing, origin }, surroundings);
    const answered = answer(request).then((made) => {
      surroundings.onRequest?.({
        method: "POST",
        route: incoming.url === "/" ? "/" : "unknown",
        status: made.status,
        seconds: (performance.now() - started) / 1_000,
      });
      write(outgoing, made);
    });
    answered.catch(surroundings.report);
  };
}

const PATH = /^\/(\d{12}\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?$/;
const HOST = /^[a-z0-9._-]+(:\d{1,5})?$/;

/** A POST with nothing in its URL or headers that more than one reading is possible of, and a body of a known length. */
function isPlain(incoming: IncomingMessage): boolean {
  const { method, url = "", headers } = incoming;
  return (
    method === "POST" &&
    hasEachHeaderOnce(incoming) &&
    PATH.test(url) &&
    HOST.test(headers.host ?? "") &&
    Number(headers["content-length"] ?? Infinity) <= MAX_BODY_BYTES &&
    headers["content-encoding"] === undefined
  );
}

function requestFrom(
  {
    incoming,
    outgoing,
    origin,
  }: { incoming: IncomingMessage; outgoing: ServerResponse; origin: string },
  { engine, account, report, guard }: Surroundings,
): AwsRequest {
  const { url: path = "", headers } = incoming;
  return {
    http: {
      var: { engine, account, report, guard, watchKey: undefined },
      env: { incoming, outgoing },
      req: { header: (name) => headers[name] as string | undefined },
    },
    origin,
    path,
    query: "",
    signed: () => ({
      method: "POST",
      headers: signedHeadersOf(incoming.rawHeaders),
      authorizations: Number(incoming.headers.authorization !== undefined),
    }),
  };
}

function originOf({ headers }: IncomingMessage, origins: Origins): string | undefined {
  return origins.of(headers.host ?? "", headers["x-forwarded-proto"] as string | undefined);
}

/** By lower-case name; none is there twice. */
function signedHeadersOf(raw: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let index = 0; index < raw.length; index += 2)
    headers.set((raw[index] ?? "").toLowerCase(), raw[index + 1] ?? "");
  return headers;
}

function write(outgoing: ServerResponse, { status, headers, body }: AwsAnswer): void {
  outgoing.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
  outgoing.end(body);
}
