import { createHash, randomUUID } from "node:crypto";

import type { AccessKeys, GoneSignal } from "@sluice/engine";
import {
  countUntilWritten,
  goneSignal,
  lengthOf,
  readBody,
  releaseUnlessRead,
  toSluiceError,
} from "@sluice/http-api";

import {
  actionOfForm,
  actionOfTarget,
  readForm,
  serviceOfForm,
  type RequestedAction,
} from "./action.ts";
import type { Call } from "./call.ts";
import { AwsError, commonError, type Service } from "./errors.ts";
import type { AwsRequest } from "./request.ts";
import type { AwsSettings } from "./settings.ts";
import type { SeenCalls } from "./signature/seen-calls.ts";
import { mismatch } from "./signature/read-signature.ts";
import { verify, type Caller } from "./signature/verify.ts";
import { toSnsError } from "./sns/errors.ts";
import { toSqsError } from "./sqs/errors.ts";
import { jsonAnswer, jsonError, xmlAnswer, xmlError, type AwsAnswer } from "./wire/answer.ts";
import { readParameters } from "./wire/parameters.ts";

export interface Authentication {
  accessKeys: AccessKeys;
  seen: SeenCalls;
}

const JSON_TYPE = /^application\/x-amz-json-1\.[01]\s*(;|$)/i;

/** Of its body, which is kept while it waits, by thousands at once. A hundred names of attributes are 26 KB. */
const MAX_RECEIVE = 64 * 1024;

/** From the request to its answer, whatever goes wrong: who makes it, what it asks for, what came of that. */
export async function answerRequest(
  request: AwsRequest,
  settings: AwsSettings,
  authentication: Authentication | undefined,
): Promise<AwsAnswer> {
  const requestId = randomUUID();
  const isJson = JSON_TYPE.test(request.http.req.header("content-type") ?? "");
  let service: Service = "sqs";
  try {
    const parameters = readParameters(request.query);
    let reading: Promise<Buffer> | undefined;
    const readOnce = (account?: string) => (reading ??= readBody(request.http, account));
    const caller =
      authentication &&
      (await verify(authentication.accessKeys, settings.region, {
        ...request.signed(),
        path: request.path,
        parameters,
        body: readOnce,
      }));
    const body = await readOnce();
    if (caller) checkProtocol(caller, isJson);
    const form = isJson ? undefined : readForm(parameters, body);
    if (form) service = serviceOfForm(form);
    const requested = form
      ? actionOfForm(form, request)
      : actionOfTarget(request.http.req.header("x-amz-target"), body);
    if (requested.action === "ReceiveMessage" && body.length > MAX_RECEIVE)
      throw commonError("RequestTooLarge", `A receive has no more than ${MAX_RECEIVE} bytes.`);
    if (!caller) checkPages(request, requested);
    if (caller) {
      checkService(caller, requested);
      authentication.seen.check(caller, requested);
    }
    const output = await requested.run(callOf(request, { settings, authentication, caller, body }));
    if (isJson) return jsonAnswer(output, requestId);
    return xmlAnswer({ ...requested, output, requestId });
  } catch (error) {
    const known = toAwsError(service, error);
    if (known.form.status >= 500) request.http.var.report(error);
    return isJson ? jsonError(known, requestId) : xmlError(service, known, requestId);
  }
}

function toAwsError(service: Service, error: unknown): AwsError {
  const known = error instanceof AwsError ? error : toSluiceError(error);
  return service === "sqs" ? toSqsError(known) : toSnsError(known);
}

/**
 * The content type decides how a body is read, and need not be signed. The target has to be, where there is one: in
 * JSON.
 */
function checkProtocol({ signedHeaders }: Caller, isJson: boolean): void {
  if (isJson || !signedHeaders.has("x-amz-target")) return;
  throw mismatch("A call with an X-Amz-Target is of the content type application/x-amz-json-1.0.");
}

/**
 * What pages of other sites have a browser call, where nobody has to say who he is. Images and links make calls by GET,
 * and not everywhere do browsers tell from which page: so nothing is changed by it, but by the links in notifications,
 * which nobody can guess.
 */
function checkPages({ http }: AwsRequest, { action }: RequestedAction): void {
  const isGet = http.env?.incoming?.method === "GET";
  if (isGet && (action === "Unsubscribe" || action === "ConfirmSubscription")) return;
  const refusal = http.var.guard?.((name) => http.req.header(name));
  if (refusal) throw refusal;
  if (!isGet || /^(Get|List)/.test(action)) return;
  // boto 2 calls by GET. For a page to send what clients sign with, it would have to be allowed that first.
  if (!http.req.header("authorization")?.startsWith("AWS"))
    throw commonError("AccessDenied", `Without an access key ${action} is sent by POST.`);
}

/** A signature for one service opens no other. */
function checkService(caller: Caller, requested: RequestedAction): void {
  if (caller.service === requested.service) return;
  throw mismatch(`Credential should be scoped to correct service: '${requested.service}'.`);
}

function callOf(
  request: AwsRequest,
  {
    settings,
    authentication,
    caller,
    body,
  }: {
    settings: AwsSettings;
    authentication: Authentication | undefined;
    caller: Caller | undefined;
    body: Buffer;
  },
): Call {
  const { http, origin } = request;
  const { engine, account } = http.var;
  let signal: GoneSignal | undefined;
  const watchKey =
    authentication &&
    caller &&
    ((onDisabled: () => void) => authentication.accessKeys.watch(caller.keyId, onDisabled));
  const gone = () =>
    (signal ??= goneSignal({ env: http.env, req: http.req, var: { ...http.var, watchKey } }));
  return {
    engine,
    account: caller?.account ?? account,
    settings,
    origin,
    // Only those that store something ask for it. Not a getter: that took a hundredth of the API's CPU.
    idempotencyKey: () => idempotencyKeyOf(request, caller, body),
    repeatableFor: caller ? repeatableFor(caller) : 0,
    signal: gone,
    releaseUnlessRead: (received) => {
      releaseUnlessRead(received, gone());
      countUntilWritten(http, { length: lengthOf(received.slices) });
    },
  };
}

/** A URL is signed to be used again, until it ends. */
function repeatableFor({ signature, countsUntil }: Caller): number {
  return signature === undefined ? 0 : Math.max(0, Math.ceil((countsUntil - Date.now()) / 1_000));
}

const INVOCATION = "amz-sdk-invocation-id";

/**
 * AWS' SDKs number their calls, and repeat a call under its number: what its first attempt stored, the repeat stores
 * not again. Where signatures are checked the number counts only when it is signed. Another body is another call,
 * whatever its number.
 */
function idempotencyKeyOf(
  request: AwsRequest,
  caller: Caller | undefined,
  body: Buffer,
): string | undefined {
  const id = request.http.req.header(INVOCATION);
  if (id === undefined || !/^[A-Za-z0-9-]{16,64}$/.test(id)) return undefined;
  if (caller && !caller.signedHeaders.has(INVOCATION)) return undefined;
  return `aws/${id}/${createHash("sha256").update(body).digest("base64url")}`;
}
