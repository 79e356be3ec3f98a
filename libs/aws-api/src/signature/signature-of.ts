import { createHash, createHmac } from "node:crypto";

import type { Parameters } from "../wire/parameters.ts";
import { ALGORITHM, IN_URL, type Signature, type SignedRequest } from "./read-signature.ts";

/**
 * The signature that a request would have had, had the owner of this secret signed it: AWS Signature Version 4, as
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html has it.
 *
 * Made here and not by a library: one that signs reads a URL its own way, and whatever it reads otherwise than those
 * who act on it is not signed.
 */
export function signatureOf(request: SignedRequest, given: Signature, secret: string): string {
  const { time, day, region, service } = given;
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = [ALGORITHM, time, scope, sha256(canonical(request, given))].join("\n");
  return hmac(signingKey(secret, given), text).toString("hex");
}

function canonical(
  { method, path, parameters, headers, body }: SignedRequest,
  { signedHeaders }: Signature,
): string {
  return [
    method,
    // Of a path that is escaped already each part is escaped once more, for all services but S3.
    path.split("/").map(escaped).join("/"),
    canonicalQuery(parameters.filter(([name]) => name !== IN_URL)),
    ...signedHeaders.map((name) => `${name}:${tidied(headers.get(name) ?? "")}`),
    "",
    signedHeaders.join(";"),
    sha256(body),
  ].join("\n");
}

/** In order of the names, then of the values: whatever differs in more than its order is another text. */
function canonicalQuery(parameters: Parameters): string {
  return parameters
    .map(([name, value]) => [escaped(name), escaped(value)] as const)
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** All but letters, digits and `-._~`, by RFC 3986. */
function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function tidied(value: string): string {
  return value.trim().replaceAll(/\s+/g, " ");
}

/** Those of the day: four hashes saved on each call. */
const signingKeys = new Map<string, Buffer>();
const KEPT = 1_000;

function signingKey(secret: string, { day, region, service }: Signature): Buffer {
  const name = [secret, day, region, service].join("/");
  let key = signingKeys.get(name);
  if (!key) {
    key = [day, region, service, "aws4_request"].reduce(hmac, Buffer.from(`AWS4${secret}`));
    if (signingKeys.size >= KEPT) signingKeys.clear();
    signingKeys.set(name, key);
  }
  return key;
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
