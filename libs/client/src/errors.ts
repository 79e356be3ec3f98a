/**
 * Every code a {@link SluiceError} can carry, and whether the same call may succeed when it is made again.
 * The union is closed: a code a newer server may answer is mapped to the nearest one of these by its status.
 */
export const errorCodes = {
  // The server refused the call.
  malformed_json: { retryable: false },
  invalid_request: { retryable: false },
  invalid_name: { retryable: false },
  invalid_filter_policy: { retryable: false },
  receipt_handle_invalid: { retryable: false },
  unauthenticated: { retryable: false },
  topic_not_found: { retryable: false },
  queue_not_found: { retryable: false },
  subscription_not_found: { retryable: false },
  message_not_found: { retryable: false },
  redrive_not_found: { retryable: false },
  replay_not_found: { retryable: false },
  route_not_found: { retryable: false },
  method_not_allowed: { retryable: false },
  topic_exists: { retryable: false },
  queue_exists: { retryable: false },
  subscription_exists: { retryable: false },
  queue_deleted_recently: { retryable: false },
  purge_in_progress: { retryable: false },
  redrive_running: { retryable: false },
  replay_running: { retryable: false },
  topic_not_archived: { retryable: false },
  idempotency_key_reused: { retryable: false },
  request_too_large: { retryable: false },
  unsupported_media_type: { retryable: false },
  over_limit: { retryable: true },
  too_many_requests: { retryable: true },
  internal: { retryable: true },
  unavailable: { retryable: true },
  // The server took the call and refused one entry of it.
  message_too_large: { retryable: false },
  invalid_message: { retryable: false },
  invalid_attribute: { retryable: false },
  receipt_handle_expired: { retryable: false },
  message_not_in_flight: { retryable: false },
  visibility_beyond_limit: { retryable: false },
  // Found on this side of the wire.
  schema_mismatch: { retryable: false },
  publish_failed: { retryable: false },
  network: { retryable: true },
  timeout: { retryable: true },
  aborted: { retryable: false },
  closed: { retryable: false },
  unexpected_response: { retryable: false },
} as const satisfies Record<string, { retryable: boolean }>;

/** The closed set of error codes; {@link errorCodes} says which are retryable. */
export type SluiceErrorCode = keyof typeof errorCodes;

/** One thing to mend: where it is (`messages.0.body`, `payload.user.id`) and what is wrong with it. */
export interface ErrorDetail {
  /** Keys and indexes with dots in between; empty where it is the whole. */
  readonly path: string;
  /** What is wrong with it, or expected of it. */
  readonly message: string;
}

/** What a {@link SluiceError} may tell besides its code and message. */
export interface SluiceErrorOptions {
  /** The HTTP status, where there was an answer. */
  readonly status?: number | undefined;
  /** What to mend and where. Default: nothing. */
  readonly details?: readonly ErrorDetail[] | undefined;
  /** How long the server asked to be left alone, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** Which call it is the error of. */
  readonly call?: string | undefined;
  /** Default: what the code and the status say of it. */
  readonly outcomeUnknown?: boolean | undefined;
  /** What it comes of. */
  readonly cause?: unknown;
}

/**
 * The one error class of the SDKs: branch on `code`, which is a closed union, never on the message.
 *
 * @example
 * ```ts
 * try {
 *   await admin.queues.get("billing");
 * } catch (error) {
 *   if (error instanceof SluiceError && error.code === "queue_not_found") await admin.queues.create("billing");
 *   else throw error;
 * }
 * ```
 */
export class SluiceError extends Error {
  override readonly name: string = "SluiceError";
  /** What went wrong, from a closed set. */
  readonly code: SluiceErrorCode;
  /** The HTTP status, when there was an answer. */
  readonly status: number | undefined;
  /** What to mend and where; empty when the code says it all. */
  readonly details: readonly ErrorDetail[];
  /** How long the server asked to be left alone, in milliseconds (its `Retry-After`). */
  readonly retryAfterMs: number | undefined;
  /**
   * Which call failed, and what it was for the server: `producer.publish (POST /v1/topics/orders/messages)`. For people
   * and logs; calls of consumers are named by the stages of `onError`. Absent from what was refused before there was a
   * call.
   */
  readonly call: string | undefined;
  /**
   * Whether the call may have been carried out all the same: true of `network`, `timeout`, `aborted`, `unavailable`,
   * `internal` and an `unexpected_response` to a call that succeeded, unless it is certain that nobody has read the
   * call; and of any error of a call that was repeated after one of these. False: it had no effect.
   */
  readonly outcomeUnknown: boolean;

  constructor(code: SluiceErrorCode, message: string, options: SluiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.details = options.details ?? [];
    this.retryAfterMs = options.retryAfterMs;
    this.call = options.call;
    this.outcomeUnknown = options.outcomeUnknown ?? leavesOpen(code, options.status);
  }

  /** Whether the same call may succeed when it is made again later. */
  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }

  /**
   * What logs that write JSON show of it: the message, which JSON leaves out of errors, with the rest; neither stack
   * nor `cause`.
   */
  toJSON(): object {
    const { name, code, message, retryable } = this;
    return Object.assign({ name, code, message, retryable }, this);
  }
}

/** The same error with other words: what its places are called. */
export function reworded(error: SluiceError, reword: (text: string) => string): SluiceError {
  const { code, status, details, retryAfterMs, outcomeUnknown, call, cause } = error;
  return new SluiceError(code, reword(error.message), {
    status,
    details: details.map(({ path, message }) => ({ path: reword(path), message })),
    retryAfterMs,
    outcomeUnknown,
    call,
    cause,
  });
}

const openCodes = new Set<SluiceErrorCode>([
  "network",
  "timeout",
  "aborted",
  "unavailable",
  "internal",
]);

function leavesOpen(code: SluiceErrorCode, status: number = 200): boolean {
  return openCodes.has(code) || (code === "unexpected_response" && status >= 200 && status < 300);
}

export function isErrorCode(code: unknown): code is SluiceErrorCode {
  return typeof code === "string" && Object.hasOwn(errorCodes, code);
}
