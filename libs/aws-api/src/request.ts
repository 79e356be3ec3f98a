import { SluiceError, type Engine } from "@sluice/engine";
import { goneSignal, readBody, type ApiEnv } from "@sluice/http-api";
import type { Context } from "hono";

import type { SignedRequest } from "./signature/read-signature.ts";

/** A request of either protocol, whichever way it came in. */
export interface AwsRequest {
  engine: Engine;
  /** That it acts for where nobody checks who makes it. */
  account: string;
  /** Logs an error that is ours. */
  report: (error: unknown) => void;
  /** `http://127.0.0.1:4566`, as the client wrote it. */
  origin: string;
  /** `/`, or the path of a queue. */
  path: string;
  /** What follows the question mark. */
  query: string;
  /** By its lower-case name. */
  header: (name: string) => string | undefined;
  /** @throws {SluiceError} `unsupported_media_type`, `request_too_large`, `malformed_json` */
  readBody: () => Promise<Buffer>;
  /** What its signature is about. */
  signed: (body: Buffer) => SignedRequest;
  /** Aborted when the client hangs up before it has the whole answer, or when its key is disabled. */
  gone: (watchKey: WatchKey) => AbortSignal;
}

export type WatchKey = ApiEnv["Variables"]["watchKey"];

/** A request that came by Hono. @throws {SluiceError} `invalid_request` */
export function requestOf(c: Context<ApiEnv>): AwsRequest {
  const { engine, account, report } = c.var;
  if (!URL.canParse(c.req.url))
    throw new SluiceError("invalid_request", "the Host header names no host");
  const { origin, pathname, search } = new URL(c.req.url);
  return {
    engine,
    account,
    report,
    origin,
    path: pathname,
    query: search.slice(1),
    header: (name) => c.req.header(name),
    readBody: () => readBody(c),
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
    gone: (watchKey) => {
      c.set("watchKey", watchKey);
      return goneSignal(c);
    },
  };
}

/** Node keeps the first of several; to a signature they are a contradiction. */
export function countHeaders(raw: readonly string[], name: string): number {
  return raw.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}
