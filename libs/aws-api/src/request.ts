import { SluiceError } from "@sluice/engine";
import type { ApiEnv, HttpCall } from "@sluice/http-api";
import type { Context } from "hono";

import type { SignedRequest } from "./signature/read-signature.ts";

/** A request of either protocol, whichever way it came in. */
export interface AwsRequest {
  /** How it came and how it is answered. Its account is that of everybody, where nobody checks who asks. */
  http: HttpCall;
  /** `http://127.0.0.1:4566`, as the client wrote it. */
  origin: string;
  /** `/`, or the path of a queue. */
  path: string;
  /** What follows the question mark. */
  query: string;
  /** What its signature is about. */
  signed: (body: Buffer) => SignedRequest;
}

/** A request that came by Hono. @throws {SluiceError} `invalid_request` */
export function requestOf(c: Context<ApiEnv>): AwsRequest {
  if (!URL.canParse(c.req.url))
    throw new SluiceError("invalid_request", "the Host header names no host");
  const { origin, pathname, search } = new URL(c.req.url);
  return {
    http: c,
    origin,
    path: pathname,
    query: search.slice(1),
    signed: (body) => {
      const { incoming } = c.env ?? {};
      const headers = new Map<string, string>();
      c.req.raw.headers.forEach((value, name) => headers.set(name, value));
      return {
        method: c.req.method,
        path: incoming?.url ?? pathname + search,
        headers,
        authorizations: countHeaders(incoming?.rawHeaders ?? [], "authorization"),
        body,
      };
    },
  };
}

/** Node keeps the first of several; to a signature they are a contradiction. */
export function countHeaders(raw: readonly string[], name: string): number {
  return raw.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}
