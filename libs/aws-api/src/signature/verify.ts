import { createHash, timingSafeEqual } from "node:crypto";

import type { AccessKeys } from "@sluice/engine";

import { commonError } from "../errors.ts";
import { mismatch, readSignature, type Signature, type SignedRequest } from "./read-signature.ts";
import { signatureOf } from "./signature-of.ts";

const MAX_SKEW = 15 * 60_000;
const SERVICES = new Set(["sqs", "sns", "sts"]);

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

/** A request whose body is read once somebody known is said to have sent it. */
export type UnreadRequest = Omit<SignedRequest, "body"> & {
  body: (account: string) => Promise<Uint8Array>;
};

/**
 * Checks the signature of a request, over the bytes of its body and before anything looks into them. All that needs no
 * body is checked before that is read: of those who have no key nothing is kept in memory.
 *
 * @param now - Milliseconds since the epoch.
 * @throws {AwsError} `MissingAuthenticationToken`, `IncompleteSignature`, `InvalidClientTokenId`,
 *   `SignatureDoesNotMatch`, `RequestExpired`
 */
export async function verify(
  keys: Pick<AccessKeys, "find">,
  region: string,
  unread: UnreadRequest,
  now = Date.now(),
): Promise<Caller> {
  const given = readSignature(unread);
  checkScope(given, region);
  const countsUntil = checkTime(given, now);
  checkHeaders(given, unread);
  checkParameters(unread);
  const key = await keys.find(given.keyId);
  if (!key) {
    throw commonError(
      "InvalidClientTokenId",
      "The security token included in the request is invalid.",
    );
  }
  const request = { ...unread, body: await unread.body(key.account) };
  checkBodyHash(request);
  const made = signatureOf(request, given, key.secret);
  const matches = timingSafeEqual(Buffer.from(made, "hex"), Buffer.from(given.signature, "hex"));
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
    throw mismatch("Credential should be scoped to the service 'sqs', 'sns' or 'sts'.");
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
function checkHeaders({ signedHeaders }: Signature, { headers }: UnreadRequest): void {
  const signed = new Set(signedHeaders);
  for (const name of headers.keys()) {
    if (name.startsWith("x-amz-") && !signed.has(name))
      throw mismatch(`The header '${name.slice(0, 100)}' is not signed.`);
  }
  const absent = signedHeaders.find((name) => !headers.has(name));
  if (absent !== undefined)
    throw mismatch(`The header '${absent.slice(0, 100)}' is signed but not there.`);
}

/**
 * A signature covers the parameters in the order of their names and values: of two of a name anybody could make either
 * the last.
 */
function checkParameters({ parameters }: UnreadRequest): void {
  const names = new Set(parameters.map(([name]) => name));
  if (names.size < parameters.length) throw mismatch("A parameter of the URL is there twice.");
}

function checkBodyHash({ headers, body }: SignedRequest): void {
  const given = headers.get("x-amz-content-sha256");
  if (given === undefined) return;
  // Unsigned and streamed payloads are for S3 alone.
  if (given !== createHash("sha256").update(body).digest("hex"))
    throw mismatch("The body is not what x-amz-content-sha256 says it is.");
}
