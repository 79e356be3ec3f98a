import type { EntryError, ErrorCode, SluiceError } from "@sluice/engine";

import { AwsError, sqsError, type SqsErrorName } from "../errors.ts";

const names: Partial<Record<ErrorCode, SqsErrorName>> = {
  queue_not_found: "QueueDoesNotExist",
  queue_exists: "QueueNameExists",
  receipt_handle_invalid: "ReceiptHandleIsInvalid",
  too_many_requests: "RequestThrottled",
  over_limit: "OverLimit",
  purge_in_progress: "PurgeQueueInProgress",
  queue_deleted_recently: "QueueDeletedRecently",
  request_too_large: "RequestTooLarge",
  malformed_json: "MalformedInput",
  unavailable: "Unavailable",
  internal: "InternalError",
};

/** What an error of the engine is called in SQS. */
export function toSqsError(error: SluiceError | AwsError): AwsError {
  if (error instanceof AwsError) return error;
  if (error.code === "queue_not_found") {
    return sqsError("QueueDoesNotExist", "The specified queue does not exist.", error);
  }
  return sqsError(names[error.code] ?? "InvalidParameterValue", error.message, error);
}

/** What a refused message is called in SQS, which has other words for one of a batch that is too large. */
export function messageError(
  error: EntryError,
  { maxBytes, inBatch = false }: { maxBytes: number; inBatch?: boolean },
): AwsError {
  switch (error.code) {
    case "message_too_large":
      return sqsError(
        "InvalidParameterValue",
        `One or more parameters ${inBatch ? "cannot be validated" : "are invalid"}. Reason: Message must be shorter than ${maxBytes} bytes.`,
      );
    case "invalid_message":
      return sqsError("InvalidMessageContents", `Invalid message contents: ${error.message}`);
    default:
      return sqsError("InvalidParameterValue", error.message);
  }
}
