import { SluiceError, type EntryError, type ErrorCode } from "@sluice/engine";

import { AwsError, invalidParameter, snsError, type SnsErrorName } from "../errors.ts";
import { noSuchTopic } from "../names/topic-arn.ts";

const names: Partial<Record<ErrorCode, SnsErrorName>> = {
  subscription_not_found: "NotFound",
  queue_not_found: "NotFound",
  too_many_requests: "Throttled",
  request_too_large: "RequestTooLarge",
  malformed_json: "MalformedInput",
  unavailable: "Unavailable",
  internal: "InternalError",
};

/** What an error of the engine is called in SNS. */
export function toSnsError(error: SluiceError | AwsError): AwsError {
  if (error instanceof AwsError) return error;
  if (error.code === "topic_not_found") return noSuchTopic();
  const name = names[error.code];
  return name === undefined
    ? snsError("InvalidParameter", `Invalid parameter: ${error.message}`, error)
    : snsError(name, error.message, error);
}

/** To end what somebody else has just ended is no error. */
export async function endedOnce(end: Promise<void>): Promise<void> {
  try {
    await end;
  } catch (error) {
    const code = error instanceof SluiceError ? error.code : undefined;
    if (code !== "topic_not_found" && code !== "subscription_not_found") throw error;
  }
}

/** What a refused message is called in SNS. */
export function messageError(error: EntryError): AwsError {
  switch (error.code) {
    case "message_too_large":
      return invalidParameter("Message too long");
    case "invalid_attribute":
      return snsError("InvalidParameterValue", error.message);
    default:
      return invalidParameter("Message", error.message);
  }
}
