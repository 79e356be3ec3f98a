import { createHash, timingSafeEqual } from "node:crypto";

import type { AccessKey, AccessKeys } from "@sluice/engine";
import aws4 from "aws4";

import { commonError, type AwsError } from "../errors.ts";
import { readSignature, type Signature, type SignedRequest } from "./read-signature.ts";

const MAX_SKEW = 15 * 60_000;
const SERVICES = new Set(["sqs", "sns"]);
/** What a signature is made with for a key that is not there: the answer takes as long as for one that is. */
const NOBODY = { secret: "no such key" };

export interface Caller {
  keyId: string;
  account: string;
  service: string;
  /** Headers that are under the signature. */
  signedHeaders: ReadonlySet<string>;
  /** Undefined of a URL, which is signed to be used again. */
  signature: string | undefined;
  /** How long the signature counts, in milliseconds since the epoch. */
  countsUntil: number;
}

/**
 * Checks the signature of a request, over the bytes of its body and before anything reads them.
 *
 * @param now - Milliseconds since the epoch.
 * @throws {AwsError} `MissingAuthenticationToken`, `IncompleteSignature`, `InvalidClientTokenId`, `SignatureDoesNotMatch`,
 *   `RequestExpired`
 */
export async function verify(
  keys: Pick<AccessKeys, "find">,
  region: string,
  request: SignedRequest,
  now = Date.now(),
): Promise<Caller> {
  const given = readSignature(request);
  checkScope(given, region);
  const countsUntil = checkTime(given, now);
  checkHeaders(given, request);
  checkBodyHash(request);
  const key = await keys.find(given.keyId);
  const made = signatureOf(request, given, key ?? NOBODY);
  const matches = timingSafeEqual(Buffer.from(made, "hex"), Buffer.from(given.signature, "hex"));
  if (!key) {
    throw commonError(
      "InvalidClientTokenId",
      "The security token included in the request is invalid.",
    );
  }
  if (!matches) throw mismatch("Check your secret access key and signing method.");
  const { keyId, service, signedHeaders } = given;
  return {
    keyId,
    account: key.account,
    service,
    signedHeaders: new Set(signedHeaders),
    signature: given.expires === undefined ? given.signature : undefined,
    countsUntil,
  };
}

function checkScope({ day, time, region: given, service }: Signature, region: string): void {
  if (!time.startsWith(day)) throw mismatch("Date in Credential scope does not match X-Amz-Date.");
  if (given !== region)
    throw mismatch(`Credential should be scoped to a valid region, here '${region}'.`);
  if (!SERVICES.has(service))
    throw mismatch("Credential should be scoped to the service 'sqs' or 'sns'.");
}

/** How long it counts, in milliseconds since the epoch. */
function checkTime({ time, expires }: Signature, now: number): number {
  const signedAt = Date.parse(
    time.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/, "$1-$2-$3T$4:$5:$6Z"),
  );
  if (Number.isNaN(signedAt)) throw mismatch("X-Amz-Date is no time.");
  if (signedAt > now + MAX_SKEW) {
    throw mismatch(`Signature not yet current: ${time} is still later than the server's clock.`);
  }
  const countsUntil = signedAt + (expires === undefined ? MAX_SKEW : expires * 1_000);
  if (now > countsUntil) {
    throw expires === undefined
      ? mismatch(`Signature expired: ${time} is now earlier than the server's clock allows.`)
      : commonError("RequestExpired", "Request has expired.");
  }
  return countsUntil;
}

/** What could change the meaning of a request must be under its signature. */
function checkHeaders({ signedHeaders }: Signature, { headers }: SignedRequest): void {
  const signed = new Set(signedHeaders);
  for (const name of headers.keys()) {
    if (name.startsWith("x-amz-") && !signed.has(name))
      throw mismatch(`The header '${name.slice(0, 100)}' is not signed.`);
  }
  const absent = signedHeaders.find((name) => !headers.has(name));
  if (absent !== undefined)
    throw mismatch(`The header '${absent.slice(0, 100)}' is signed but not there.`);
}

function checkBodyHash({ headers, body }: SignedRequest): void {
  const given = headers.get("x-amz-content-sha256");
  if (given === undefined) return;
  // Unsigned and streamed payloads are for S3 alone.
  if (given !== createHash("sha256").update(body).digest("hex"))
    throw mismatch("The body is not what x-amz-content-sha256 says it is.");
}

/** The signature that a request would have had, had the owner of this key signed it. */
export function signatureOf(
  request: SignedRequest,
  given: Signature,
  key: Pick<AccessKey, "secret">,
): string {
  const { method, headers, body } = request;
  const signed = new Set(given.signedHeaders);
  const options = {
    method,
    path: given.expires === undefined ? request.path : withoutSignature(request.path),
    headers: Object.fromEntries(given.signedHeaders.map((name) => [name, headers.get(name) ?? ""])),
    // Typed as text, hashed as what it is.
    body: body as unknown as string,
    service: given.service,
    region: given.region,
    signQuery: given.expires !== undefined,
    // It would add what many clients sign; only what this one signed counts.
    extraHeadersToInclude: Object.fromEntries([...signed].map((name) => [name, true])),
    extraHeadersToIgnore: Object.fromEntries(
      ["content-type", "content-length", "x-amz-date"]
        .filter((name) => !signed.has(name))
        .map((name) => [name, true]),
    ),
  };
  const credentials = { accessKeyId: given.keyId, secretAccessKey: key.secret };
  const signer = new aws4.RequestSigner(options, credentials) as unknown as {
    signature: () => string;
    datetime?: string;
  };
  signer.datetime = given.time;
  return signer.signature();
}

function withoutSignature(path: string): string {
  const [route = "", query = ""] = path.split("?", 2);
  const left = query.split("&").filter((part) => !part.startsWith("X-Amz-Signature="));
  return `${route}?${left.join("&")}`;
}

function mismatch(reason: string): AwsError {
  return commonError(
    "SignatureDoesNotMatch",
    `The request signature we calculated does not match the signature you provided. ${reason}`,
  );
}
