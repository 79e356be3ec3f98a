import type { IncomingMessage, ServerResponse } from "node:http";

import { isOrdinary, writeAnswer, type DirectWay, type Surroundings } from "@sluice/http-api";

import type { Origins } from "./origin.ts";
import type { AwsRequest } from "./request.ts";
import type { AwsAnswer } from "./wire/answer.ts";

/**
 * The way of nearly all calls: from Node's request to its response, without Hono and without the objects of the fetch
 * API between. It decides nothing but which requests are plain enough; those that are not come to the same answer by
 * their routes.
 */
export function directWay(
  surroundings: Surroundings,
  origins: Origins,
  answer: (request: AwsRequest) => Promise<AwsAnswer>,
): DirectWay {
  return (incoming, outgoing, next) => {
    const isPlain = PATH.test(incoming.url ?? "") && isOrdinary(incoming);
    const origin = isPlain ? originOf(incoming, origins) : undefined;
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
      writeAnswer(outgoing, made);
    });
    answered.catch(surroundings.report);
  };
}

/** Of an account's queue, or of none: nothing that is escaped, and no query. */
const PATH = /^\/(\d{12}\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?$/;

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
