import { SluiceError } from "@sluice/engine";
import type { ApiEnv, HttpCall } from "@sluice/http-api";
import type { Context } from "hono";

import type { Origins } from "./origin.ts";
import { mismatch, type SignedRequest } from "./signature/read-signature.ts";

/** A request of either protocol, whichever way it came in. */
export interface AwsRequest {
  /** How it came and how it is answered. Its account is that of everybody, where nobody checks who asks. */
  http: HttpCall;
  /** `http://127.0.0.1:4566`, as the client reaches it. */
  origin: string;
  /** `/`, or the path of a queue. */
  path: string;
  /** What follows the question mark. */
  query: string;
  /** What its signature is about, besides. @throws {AwsError} `SignatureDoesNotMatch` */
  signed: () => Pick<SignedRequest, "method" | "headers" | "authorizations">;
}

/**
 * Where a request goes, as it was sent: a URL takes out of it what a signature covers, such as `/..` and what follows a
 * `#`.
 */
export function targetOf(c: Context<ApiEnv>): Pick<AwsRequest, "path" | "query"> {
  const sent = c.env?.incoming?.url;
  if (sent?.startsWith("/")) {
    const end = sent.indexOf("?");
    return end < 0
      ? { path: sent, query: "" }
      : { path: sent.slice(0, end), query: sent.slice(end + 1) };
  }
  const { pathname, search } = new URL(c.req.url);
  return { path: pathname, query: search.slice(1) };
}

/** A request that came by Hono. @throws {SluiceError} `invalid_request` */
export function requestOf(c: Context<ApiEnv>, origins: Origins): AwsRequest {
  const host = URL.canParse(c.req.url) ? new URL(c.req.url).host : "";
  const origin = origins.of(host, c.req.header("x-forwarded-proto"));
  if (origin === undefined)
    throw new SluiceError("invalid_request", "the Host header names no host");
  return {
    http: c,
    origin,
    ...targetOf(c),
    signed: () => {
      const { incoming } = c.env ?? {};
      if (incoming && !incoming.url?.startsWith("/"))
        throw mismatch("A signed request is sent to its path, not to a whole URL.");
      const headers = new Map<string, string>();
      c.req.raw.headers.forEach((value, name) => headers.set(name, value));
      return {
        method: c.req.method,
        headers,
        authorizations: countHeaders(incoming?.rawHeaders ?? [], "authorization"),
      };
    },
  };
}

/** Node keeps the first of several; to a signature they are a contradiction. */
function countHeaders(raw: readonly string[], name: string): number {
  return raw.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}
