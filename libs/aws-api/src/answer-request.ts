import { randomUUID } from "node:crypto";

import type { AccessKeys } from "@sluice/engine";
import { releaseUnlessRead, toSluiceError } from "@sluice/http-api";

import {
  actionOfForm,
  actionOfTarget,
  readForm,
  serviceOfForm,
  type RequestedAction,
} from "./action.ts";
import type { Call } from "./call.ts";
import { AwsError, commonError, type Service } from "./errors.ts";
import type { AwsRequest, WatchKey } from "./request.ts";
import type { AwsSettings } from "./settings.ts";
import type { SeenCalls } from "./signature/seen-calls.ts";
import { verify, type Caller } from "./signature/verify.ts";
import { toSnsError } from "./sns/errors.ts";
import { toSqsError } from "./sqs/errors.ts";
import { jsonAnswer, jsonError, xmlAnswer, xmlError, type AwsAnswer } from "./wire/answer.ts";

export interface Authentication {
  accessKeys: AccessKeys;
  seen: SeenCalls;
}

const JSON_TYPE = /^application\/x-amz-json-1\.[01]\s*(;|$)/i;

/** From the request to its answer, whatever goes wrong: who makes it, what it asks for, what came of that. */
export async function answerRequest(
  request: AwsRequest,
  settings: AwsSettings,
  authentication: Authentication | undefined,
): Promise<AwsAnswer> {
  const requestId = randomUUID();
  const isJson = JSON_TYPE.test(request.header("content-type") ?? "");
  let service: Service = "sqs";
  try {
    const body = await request.readBody();
    const caller =
      authentication &&
      (await verify(authentication.accessKeys, settings.region, request.signed(body)));
    const form = isJson ? undefined : readForm(request.query, body);
    if (form) service = serviceOfForm(form);
    const requested = form
      ? actionOfForm(form, request)
      : actionOfTarget(request.header("x-amz-target"), body);
    if (caller) {
      checkService(caller, requested);
      authentication.seen.check(caller, requested);
    }
    const output = await requested.run(callOf(request, { settings, authentication, caller }));
    if (isJson) return jsonAnswer(output, requestId);
    return xmlAnswer({ ...requested, output, requestId });
  } catch (error) {
    const known = toAwsError(service, error);
    if (known.form.code === "InternalFailure" || known.form.code === "InternalError")
      request.report(error);
    return isJson ? jsonError(known, requestId) : xmlError(service, known, requestId);
  }
}

function toAwsError(service: Service, error: unknown): AwsError {
  const known = error instanceof AwsError ? error : toSluiceError(error);
  return service === "sqs" ? toSqsError(known) : toSnsError(known);
}

/** A signature for one service opens no other. */
function checkService(caller: Caller, requested: RequestedAction): void {
  if (caller.service === requested.service) return;
  throw commonError(
    "SignatureDoesNotMatch",
    `Credential should be scoped to correct service: '${requested.service}'.`,
  );
}

function callOf(
  request: AwsRequest,
  {
    settings,
    authentication,
    caller,
  }: {
    settings: AwsSettings;
    authentication: Authentication | undefined;
    caller: Caller | undefined;
  },
): Call {
  const { engine, account, origin, report } = request;
  const watchKey: WatchKey =
    authentication &&
    caller &&
    ((onDisabled) => authentication.accessKeys.watch(caller.keyId, onDisabled));
  let signal: AbortSignal | undefined;
  const gone = () => (signal ??= request.gone(watchKey));
  return {
    engine,
    account: caller?.account ?? account,
    settings,
    origin,
    idempotencyKey: idempotencyKeyOf(request, caller),
    signal: gone,
    releaseUnlessRead: (received) => {
      releaseUnlessRead({ var: { report } }, received, gone());
    },
  };
}

const INVOCATION = "amz-sdk-invocation-id";

/**
 * AWS' SDKs number their calls, and repeat a call under its number: what its first attempt stored, the repeat stores
 * not again. Where signatures are checked the number counts only when it is signed.
 */
function idempotencyKeyOf(request: AwsRequest, caller: Caller | undefined): string | undefined {
  const id = request.header(INVOCATION);
  if (id === undefined || !/^[A-Za-z0-9-]{16,64}$/.test(id)) return undefined;
  return caller && !caller.signedHeaders.has(INVOCATION) ? undefined : `aws/${id}`;
}
