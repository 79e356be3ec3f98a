/**
 * Every way a call can fail: code → HTTP status → whether the same call may succeed later.
 *
 * The codes are the public contract (docs/errors.md): they are added to, never renamed.
 */
export const errorTable = {
  malformed_json: { status: 400, retryable: false },
  invalid_request: { status: 400, retryable: false },
  invalid_name: { status: 400, retryable: false },
  invalid_filter_policy: { status: 400, retryable: false },
  receipt_handle_invalid: { status: 400, retryable: false },
  unauthenticated: { status: 401, retryable: false },
  topic_not_found: { status: 404, retryable: false },
  queue_not_found: { status: 404, retryable: false },
  subscription_not_found: { status: 404, retryable: false },
  message_not_found: { status: 404, retryable: false },
  redrive_not_found: { status: 404, retryable: false },
  replay_not_found: { status: 404, retryable: false },
  route_not_found: { status: 404, retryable: false },
  method_not_allowed: { status: 405, retryable: false },
  topic_exists: { status: 409, retryable: false },
  queue_exists: { status: 409, retryable: false },
  queue_deleted_recently: { status: 409, retryable: false },
  purge_in_progress: { status: 409, retryable: false },
  subscription_exists: { status: 409, retryable: false },
  redrive_running: { status: 409, retryable: false },
  replay_running: { status: 409, retryable: false },
  topic_not_archived: { status: 409, retryable: false },
  idempotency_key_reused: { status: 409, retryable: false },
  request_too_large: { status: 413, retryable: false },
  unsupported_media_type: { status: 415, retryable: false },
  over_limit: { status: 429, retryable: true },
  too_many_requests: { status: 429, retryable: true },
  internal: { status: 500, retryable: true },
  unavailable: { status: 503, retryable: true },
} as const satisfies Record<string, { status: number; retryable: boolean }>;

export type ErrorCode = keyof typeof errorTable;

/** Failures of one entry of a batch call; the other entries are not touched by it. */
export type EntryErrorCode =
  | "message_too_large"
  | "invalid_message"
  | "invalid_attribute"
  | "receipt_handle_expired"
  | "message_not_in_flight"
  | "visibility_beyond_limit";

export interface EntryError {
  code: EntryErrorCode;
  message: string;
}

/** Where in the request something is wrong: `messages.3.body`. */
export interface ErrorDetail {
  path: string;
  message: string;
}

/** A call that failed as a whole; nothing was changed, unless the code is `unavailable` or `internal`. */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  readonly code: ErrorCode;
  readonly details: readonly ErrorDetail[] | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: readonly ErrorDetail[]; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}

/** What is wrong at one place of a request: `redrive.deadLetterQueue`. */
export function invalidRequest(path: string, message: string): SluiceError {
  return new SluiceError("invalid_request", `${path}: ${message}`, {
    details: [{ path, message }],
  });
}

export function topicNotFound(name: string): SluiceError {
  return new SluiceError(
    "topic_not_found",
    `there is no topic "${name}"; create it with POST /v1/topics`,
  );
}

export function queueNotFound(name: string): SluiceError {
  return new SluiceError(
    "queue_not_found",
    `there is no queue "${name}"; create it with POST /v1/queues`,
  );
}

export function subscriptionNotFound(id: string): SluiceError {
  return new SluiceError("subscription_not_found", `there is no subscription "${id}"`);
}

export function overLimit(name: string, limit: number): SluiceError {
  return new SluiceError(
    "over_limit",
    `queue "${name}" has ${limit} messages in flight, which is the most there can be; acknowledge some, or give them back`,
  );
}

export function topicNotArchived(name: string): SluiceError {
  return new SluiceError(
    "topic_not_archived",
    `topic "${name}" has no archive; give it one with PATCH /v1/topics/${name}, for what is published from then on`,
  );
}
