import { inOwnWords } from "./call-name.ts";
import { SluiceError, isErrorCode } from "./errors.ts";
import type { ErrorDetail, SluiceErrorCode, SluiceErrorOptions } from "./errors.ts";

interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly ErrorDetail[];
}

/** The part of a `Response` that decides what a call comes to. */
export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly text: string;
}

/**
 * Parses a successful answer's JSON (undefined when it has none) or throws the typed error that it stands for.
 *
 * @param field - What the JSON has to have: anything else is not Sluice's.
 */
export function readAnswer(request: string, answer: Answer, field?: string): unknown {
  const body = parse(answer.text);
  if (answer.status >= 200 && answer.status < 300) {
    const isOurs = field === undefined || has(body, field);
    if (body === notJson || !isOurs) throw unexpected(request, answer);
    return body;
  }
  throw refusal(request, answer, errorBody(body));
}

/**
 * The error of one entry of a call that succeeded as a whole.
 *
 * @param options - `outcomeUnknown`: whether an attempt before that may have been carried out.
 */
export function entryError(
  error: { code: string; message: string },
  {
    outcomeUnknown = false,
    ...options
  }: Pick<SluiceErrorOptions, "outcomeUnknown" | "call" | "retryAfterMs"> = {},
): SluiceError {
  const message = inOwnWords(error.message);
  if (isErrorCode(error.code))
    return new SluiceError(error.code, message, {
      ...options,
      ...(outcomeUnknown && { outcomeUnknown }),
    });
  const told = `${error.code}: ${message}`;
  return new SluiceError("unexpected_response", told, { ...options, outcomeUnknown });
}

/** Throws unless the answer has a list of that name, as long as the call's own when `length` is given. */
export function listOf<Entry>(answer: unknown, name: string, length?: number): Entry[] {
  const list = (answer as Record<string, unknown> | undefined)?.[name];
  if (!Array.isArray(list) || (length !== undefined && list.length !== length)) {
    const expected = length === undefined ? "a list" : `a list of ${length}`;
    throw new SluiceError(
      "unexpected_response",
      `The answer has no "${name}" that is ${expected}.`,
    );
  }
  return list as Entry[];
}

function refusal(request: string, answer: Answer, body: ErrorBody | undefined): SluiceError {
  const options = { status: answer.status, retryAfterMs: parseRetryAfter(answer.retryAfter) };
  if (body !== undefined && isErrorCode(body.code)) {
    const details = Array.isArray(body.details) ? body.details : [];
    return new SluiceError(body.code, inOwnWords(body.message), { ...options, details });
  }
  const code = codeOfStatus(answer.status);
  if (body === undefined && code === "unexpected_response") return unexpected(request, answer);
  const told = body === undefined ? `status ${answer.status}` : `${body.code}: ${body.message}`;
  return new SluiceError(code, `${request} was answered with ${told}.`, options);
}

/**
 * What a proxy between the client and the server means by its own error pages. 408 is told to a connection on which no
 * request has come in time, or not all of it, also where that is on its way by then.
 */
function codeOfStatus(status: number): SluiceErrorCode {
  if (status === 408) return "timeout";
  if (status === 413) return "request_too_large";
  if (status === 429) return "too_many_requests";
  if (status === 502 || status === 503 || status === 504) return "unavailable";
  return status >= 500 ? "internal" : "unexpected_response";
}

function unexpected(request: string, answer: Answer): SluiceError {
  const start = answer.text.slice(0, 100).trim();
  const message = `${request} was answered with status ${answer.status} and a body that is not Sluice's: ${start || "(empty)"}`;
  return new SluiceError("unexpected_response", message, { status: answer.status });
}

/** `Retry-After` in milliseconds; both forms of RFC 9110 §10.2.3. */
export function parseRetryAfter(
  value: string | null,
  now: number = Date.now(),
): number | undefined {
  if (value === null || value.trim() === "") return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

const notJson = Symbol("not JSON");

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return notJson;
  }
}

function has(body: unknown, field: string): boolean {
  return typeof body === "object" && body !== null && Object.hasOwn(body, field);
}

function errorBody(body: unknown): ErrorBody | undefined {
  const error = (body as { error?: Partial<ErrorBody> } | null | undefined)?.error;
  if (typeof error?.code !== "string" || typeof error.message !== "string") return undefined;
  return error as ErrorBody;
}
