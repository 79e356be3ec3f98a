import { commonError, type AwsError } from "../errors.ts";
import type { Parameters } from "../wire/parameters.ts";

/** What a request says of its signature (AWS Signature Version 4), in its Authorization header or in its URL. */
export interface Signature {
  keyId: string;
  /** `20261124` */
  day: string;
  region: string;
  service: string;
  /** `20261124T101500Z` */
  time: string;
  signedHeaders: string[];
  signature: string;
  /** Seconds; of a URL only. */
  expires: number | undefined;
}

export interface SignedRequest {
  method: string;
  /** As it was sent. */
  path: string;
  /** Of its URL. */
  parameters: Parameters;
  /** By lower-case name. */
  headers: ReadonlyMap<string, string>;
  authorizations: number;
  body: Uint8Array;
}

export const ALGORITHM = "AWS4-HMAC-SHA256";
/** The parameter that a signature in a URL is, which it does not cover itself. */
export const IN_URL = "X-Amz-Signature";
const HEADER =
  /^AWS4-HMAC-SHA256 +Credential=([^ ,]+) *, *SignedHeaders=([^ ,]+) *, *Signature=([0-9a-f]{64})$/;
const CREDENTIAL =
  /^([A-Za-z0-9_]{1,128})\/(\d{8})\/([a-z0-9-]{1,32})\/([a-z0-9-]{1,32})\/aws4_request$/;
const TIME = /^\d{8}T\d{6}Z$/;
const MAX_EXPIRES = 7 * 86_400;

/** @throws {AwsError} `MissingAuthenticationToken`, `IncompleteSignature` */
export function readSignature(request: Omit<SignedRequest, "body">): Signature {
  const header = request.headers.get("authorization");
  const isPresigned = request.parameters.some(
    ([name]) => name === "X-Amz-Algorithm" || name === IN_URL,
  );
  if (header === undefined && !isPresigned) {
    throw commonError("MissingAuthenticationToken", "Request is missing Authentication Token");
  }
  if (request.authorizations > 1 || (header !== undefined && isPresigned))
    throw incomplete("a request is signed once: in its Authorization header or in its URL");
  return header === undefined ? fromUrl(request.parameters) : fromHeader(header, request.headers);
}

function fromHeader(header: string, headers: ReadonlyMap<string, string>): Signature {
  const match = header.length <= 4_096 ? HEADER.exec(header) : undefined;
  if (!match) {
    throw incomplete(
      `Authorization header requires '${ALGORITHM}', 'Credential', 'SignedHeaders' and 'Signature' parameters.`,
    );
  }
  const [, credential = "", signedHeaders = "", signature = ""] = match;
  return {
    ...readCredential(credential),
    time: readTime(headers.get("x-amz-date")),
    signedHeaders: readSignedHeaders(signedHeaders),
    signature,
    expires: undefined,
  };
}

function fromUrl(parameters: Parameters): Signature {
  const only = (wanted: string): string => {
    const [found, ...more] = parameters.filter(([name]) => name === wanted);
    if (found === undefined || more.length > 0)
      throw incomplete(`AWS query-string parameters must include '${wanted}' once.`);
    return found[1];
  };
  if (only("X-Amz-Algorithm") !== ALGORITHM) throw incomplete(`X-Amz-Algorithm: ${ALGORITHM} only`);
  const signature = only(IN_URL);
  if (!/^[0-9a-f]{64}$/.test(signature)) throw incomplete("X-Amz-Signature: 64 hex digits");
  const expires = only("X-Amz-Expires");
  if (!/^\d{1,6}$/.test(expires) || Number(expires) < 1 || Number(expires) > MAX_EXPIRES)
    throw incomplete(`X-Amz-Expires must be between 1 and ${MAX_EXPIRES} seconds`);
  return {
    ...readCredential(only("X-Amz-Credential")),
    time: readTime(only("X-Amz-Date")),
    signedHeaders: readSignedHeaders(only("X-Amz-SignedHeaders")),
    signature,
    expires: Number(expires),
  };
}

function readCredential(credential: string) {
  const match = CREDENTIAL.exec(credential);
  if (!match) throw incomplete("Credential must be <key>/<date>/<region>/<service>/aws4_request");
  const [, keyId = "", day = "", region = "", service = ""] = match;
  return { keyId, day, region, service };
}

function readTime(time: string | undefined): string {
  if (time === undefined || !TIME.test(time))
    throw incomplete("X-Amz-Date must be there, in the form 20261124T101500Z");
  return time;
}

/** In lower case and in order, as they went into the signature; anything else signs something else. */
function readSignedHeaders(text: string): string[] {
  const names = text.split(";");
  const inOrder = [...new Set(names)].sort();
  if (names.join(";") !== inOrder.join(";") || text !== text.toLowerCase())
    throw incomplete("SignedHeaders must be in lower case, in order, each once");
  if (!names.includes("host")) throw incomplete("'Host' must be a 'SignedHeader'");
  return names;
}

function incomplete(message: string): AwsError {
  return commonError("IncompleteSignature", message);
}

export function mismatch(reason: string): AwsError {
  return commonError(
    "SignatureDoesNotMatch",
    `The request signature we calculated does not match the signature you provided. ${reason}`,
  );
}
