import { randomUUID } from "node:crypto";

import type { AccessKeys, GoneSignal } from "@sluice/engine";
import {
  goneSignal,
  readBody,
  releaseUnlessRead,
  toSluiceError,
  type Api,
  type ApiEnv,
} from "@sluice/http-api";
import type { Context } from "hono";

import {
  actionOfForm,
  actionOfTarget,
  readForm,
  serviceOfForm,
  type RequestedAction,
} from "./action.ts";
import type { Call } from "./call.ts";
import { AwsError, commonError, type Service } from "./errors.ts";
import type { AwsSettings } from "./settings.ts";
import type { SignedRequest } from "./signature/read-signature.ts";
import { SeenCalls } from "./signature/seen-calls.ts";
import { verify, type Caller } from "./signature/verify.ts";
import { toSnsError } from "./sns/errors.ts";
import { toSqsError } from "./sqs/errors.ts";
import { jsonAnswer, jsonError, xmlAnswer, xmlError } from "./wire/answer.ts";

export interface AwsProtocolsOptions {
  /** What stands in ARNs, and what signatures have to be for. */
  region: string;
  /** Whose signatures are checked; absent: everybody may call, signed or not. */
  accessKeys?: AccessKeys | undefined;
}

/**
 * SQS in its JSON and its Query protocol, and SNS in its Query protocol, on the paths that AWS' clients use: `/` and
 * the path of a queue's URL. They translate and hold no rules of their own: the engine decides.
 */
export function awsProtocols({ region, accessKeys }: AwsProtocolsOptions): (api: Api) => void {
  const settings: AwsSettings = { region };
  const authentication = accessKeys && { accessKeys, seen: new SeenCalls() };
  return (api) => {
    // Not `post`: for other methods these paths are no routes at all. And not `/:account/:queue`, which Hono's fast router
    // cannot tell from the routes of the native API: it would leave all of them to the slow one.
    for (const path of ["/", "*"]) {
      api.all(path, async (c, next) => {
        if (!isForUs(c)) return await next();
        return await answer(c, settings, authentication);
      });
    }
  };
}

interface Authentication {
  accessKeys: AccessKeys;
  seen: SeenCalls;
}

const PATH = /^\/(\d{12}\/[^/]+)?$/;
const JSON_TYPE = /^application\/x-amz-json-1\.[01]\s*(;|$)/i;

function isForUs(c: Context<ApiEnv>): boolean {
  const { method, path } = c.req;
  if (!PATH.test(path)) return false;
  return method === "POST" || (method === "GET" && c.req.query("Action") !== undefined);
}

async function answer(
  c: Context<ApiEnv>,
  settings: AwsSettings,
  authentication: Authentication | undefined,
): Promise<Response> {
  const requestId = randomUUID();
  const isJson = JSON_TYPE.test(c.req.header("content-type") ?? "");
  let service: Service = "sqs";
  try {
    const body = await readBody(c);
    const caller =
      authentication &&
      (await verify(authentication.accessKeys, settings.region, signedRequest(c, body)));
    const url = new URL(c.req.url);
    const form = isJson ? undefined : readForm(url, body);
    if (form) service = serviceOfForm(form);
    const requested = form
      ? actionOfForm(form, url)
      : actionOfTarget(c.req.header("x-amz-target"), body);
    if (caller) {
      const { accessKeys, seen } = authentication;
      checkService(caller, requested);
      seen.check(caller, requested);
      c.set("account", caller.account);
      c.set("watchKey", (onDisabled) => accessKeys.watch(caller.keyId, onDisabled));
    }
    const output = await requested.run(callOf(c, settings, caller));
    if (isJson) return jsonAnswer(output, requestId);
    return xmlAnswer({ ...requested, output, requestId });
  } catch (error) {
    const known = toAwsError(service, error);
    if (known.form.code === "InternalFailure" || known.form.code === "InternalError")
      c.var.report(error);
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

function callOf(c: Context<ApiEnv>, settings: AwsSettings, caller: Caller | undefined): Call {
  const { engine, account } = c.var;
  let signal: GoneSignal | undefined;
  const gone = () => (signal ??= goneSignal(c));
  return {
    engine,
    account,
    settings,
    origin: new URL(c.req.url).origin,
    idempotencyKey: idempotencyKeyOf(c, caller),
    signal: gone,
    releaseUnlessRead: (received) => {
      releaseUnlessRead(c, received, gone());
    },
  };
}

const INVOCATION = "amz-sdk-invocation-id";

/**
 * AWS' SDKs number their calls, and repeat a call under its number: what its first attempt stored, the repeat stores
 * not again. Where signatures are checked the number counts only when it is signed.
 */
function idempotencyKeyOf(c: Context<ApiEnv>, caller: Caller | undefined): string | undefined {
  const id = c.req.header(INVOCATION);
  if (id === undefined || !/^[A-Za-z0-9-]{16,64}$/.test(id)) return undefined;
  return caller && !caller.signedHeaders.has(INVOCATION) ? undefined : `aws/${id}`;
}

function signedRequest(c: Context<ApiEnv>, body: Uint8Array): SignedRequest {
  const { incoming } = c.env ?? {};
  const url = new URL(c.req.url);
  const headers = new Map<string, string>();
  c.req.raw.headers.forEach((value, name) => headers.set(name, value));
  return {
    method: c.req.method,
    path: incoming?.url ?? url.pathname + url.search,
    headers,
    authorizations: countHeaders(incoming?.rawHeaders ?? [], "authorization"),
    body,
  };
}

/** Node keeps the first of several; to a signature they are a contradiction. */
function countHeaders(raw: readonly string[], name: string): number {
  return raw.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name).length;
}
