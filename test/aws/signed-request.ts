import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

import type { AccessKey } from "@sluice/engine";
import aws4 from "aws4";

import { REGION, textIn } from "./sluice.ts";

export interface SignedRequest {
  method: string;
  path: string;
  /** A list is sent as so many headers. */
  headers: Record<string, string | string[]>;
  body: string;
}

export interface RequestToSign {
  body?: string;
  service?: string;
  headers?: Record<string, string>;
  path?: string;
  method?: string;
  /** In the URL, not in its headers. */
  signQuery?: boolean;
  /** Headers that stay out of the signature, in lower case. */
  unsigned?: string[];
}

/** A request as aws4 signs it, with the key of whoever makes it. */
export function signRequest(
  url: string,
  { id, secret }: AccessKey,
  {
    body = "Action=ListQueues&Version=2012-11-05",
    service = "sqs",
    headers = {},
    path = "/",
    method = "POST",
    signQuery = false,
    unsigned = [],
  }: RequestToSign = {},
): SignedRequest & { headers: Record<string, string> } {
  const request = {
    host: new URL(url).host,
    method,
    path,
    body,
    service,
    region: REGION,
    signQuery,
    headers,
    extraHeadersToIgnore: Object.fromEntries(unsigned.map((name) => [name, true])),
  };
  const signed = aws4.sign(request, { accessKeyId: id, secretAccessKey: secret });
  return {
    method,
    path: signed.path ?? path,
    headers: { ...(signed.headers as Record<string, string>) },
    body,
  };
}

/** Sends a request byte for byte, which `fetch` would tidy up: `200`, or `403 SignatureDoesNotMatch`. */
export async function send(
  url: string,
  { method, path, headers, body }: SignedRequest,
): Promise<string> {
  const { hostname, port } = new URL(url);
  const call = request({ agent: false, hostname, port, method, path, headers });
  call.end(body);
  const [response] = (await once(call, "response")) as [IncomingMessage];
  // In JSON a header says it, by the names that the Query protocol has.
  const [inJson] = String(response.headers["x-amzn-query-error"] ?? "").split(";");
  const code = textIn(await text(response), "Code") ?? (inJson || undefined);
  return code === undefined ? String(response.statusCode) : `${response.statusCode} ${code}`;
}
