export type Service = "sqs" | "sns" | "sts";

interface ErrorForm {
  /** The code in the Query protocol, and in the `x-amzn-query-error` header of the JSON protocol. */
  code: string;
  /** The shape's name in the JSON protocol. */
  type: string;
  /** Of the answer, in both protocols. */
  status: number;
  /** What the Query protocol says, where that is not what the JSON protocol says. */
  queryMessage?: string;
}

const SQS = "com.amazonaws.sqs#";
const CORAL = "com.amazon.coral.service#";
const legacy = (name: string, status = 400): ErrorForm => ({
  code: `AWS.SimpleQueueService.${name}`,
  type: SQS + name,
  status,
});
const plain = (code: string, status = 400): ErrorForm => ({ code, type: SQS + code, status });
/** Errors that SQS' model does not name come from the framework below it. */
const coral = (code: string, type: string, status = 400): ErrorForm => ({
  code,
  type: CORAL + type,
  status,
});

/** What either service may answer before it looks at the action. */
const common = {
  InvalidAction: coral("InvalidAction", "UnknownOperationException"),
  MissingAction: coral("MissingAction", "UnknownOperationException"),
  MalformedInput: coral("MalformedInput", "SerializationException"),
  RequestTooLarge: coral("RequestEntityTooLarge", "RequestEntityTooLargeException", 413),
  MissingAuthenticationToken: coral(
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    403,
  ),
  IncompleteSignature: coral("IncompleteSignature", "IncompleteSignatureException"),
  InvalidClientTokenId: coral("InvalidClientTokenId", "UnrecognizedClientException", 403),
  SignatureDoesNotMatch: coral("SignatureDoesNotMatch", "InvalidSignatureException", 403),
  RequestExpired: coral("RequestExpired", "RequestExpired", 403),
  AccessDenied: coral("AccessDenied", "AccessDeniedException", 403),
  Unavailable: coral("ServiceUnavailable", "ServiceUnavailableException", 503),
} as const;

const sqsErrors = {
  ...common,
  BatchEntryIdsNotDistinct: legacy("BatchEntryIdsNotDistinct"),
  BatchRequestTooLong: legacy("BatchRequestTooLong"),
  EmptyBatchRequest: legacy("EmptyBatchRequest"),
  InvalidBatchEntryId: legacy("InvalidBatchEntryId"),
  TooManyEntriesInBatchRequest: legacy("TooManyEntriesInBatchRequest"),
  PurgeQueueInProgress: legacy("PurgeQueueInProgress", 403),
  QueueDeletedRecently: legacy("QueueDeletedRecently"),
  UnsupportedOperation: legacy("UnsupportedOperation"),
  QueueDoesNotExist: {
    code: "AWS.SimpleQueueService.NonExistentQueue",
    type: `${SQS}QueueDoesNotExist`,
    status: 400,
    queryMessage: "The specified queue does not exist for this wsdl version.",
  },
  QueueNameExists: { code: "QueueAlreadyExists", type: `${SQS}QueueNameExists`, status: 400 },
  InvalidAddress: plain("InvalidAddress", 404),
  InvalidAttributeName: plain("InvalidAttributeName"),
  InvalidAttributeValue: plain("InvalidAttributeValue"),
  InvalidMessageContents: plain("InvalidMessageContents"),
  OverLimit: plain("OverLimit", 403),
  ReceiptHandleIsInvalid: plain("ReceiptHandleIsInvalid", 404),
  RequestThrottled: plain("RequestThrottled", 403),
  ResourceNotFound: {
    code: "ResourceNotFoundException",
    type: `${SQS}ResourceNotFoundException`,
    status: 404,
  },
  InvalidParameterValue: coral("InvalidParameterValue", "InvalidParameterValueException"),
  MissingParameter: coral("MissingParameter", "MissingRequiredParameterException"),
  InternalError: coral("InternalFailure", "InternalFailure", 500),
} as const;

const snsErrors = {
  ...common,
  BatchEntryIdsNotDistinct: plain("BatchEntryIdsNotDistinct"),
  BatchRequestTooLong: plain("BatchRequestTooLong"),
  EmptyBatchRequest: plain("EmptyBatchRequest"),
  InvalidBatchEntryId: plain("InvalidBatchEntryId"),
  TooManyEntriesInBatchRequest: plain("TooManyEntriesInBatchRequest"),
  FilterPolicyLimitExceeded: plain("FilterPolicyLimitExceeded", 403),
  InvalidParameter: plain("InvalidParameter"),
  InvalidParameterValue: plain("ParameterValueInvalid"),
  InvalidState: plain("InvalidState"),
  NotFound: plain("NotFound", 404),
  ResourceNotFound: plain("ResourceNotFound", 404),
  TagLimitExceeded: plain("TagLimitExceeded"),
  Throttled: plain("Throttled", 429),
  ValidationError: plain("ValidationError"),
  InternalError: plain("InternalError", 500),
} as const;

export type SqsErrorName = keyof typeof sqsErrors;
export type SnsErrorName = keyof typeof snsErrors;
export type CommonErrorName = keyof typeof common;

/** A call that fails, in AWS' words. */
export class AwsError extends Error {
  override readonly name = "AwsError";
  readonly form: ErrorForm;

  constructor(form: ErrorForm, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.form = form;
  }

  /** Whose fault it is, as both protocols tell it. */
  get fault(): "Sender" | "Receiver" {
    return this.form.status >= 500 ? "Receiver" : "Sender";
  }
}

export function sqsError(name: SqsErrorName, message: string, cause?: unknown): AwsError {
  return new AwsError(sqsErrors[name], message, cause);
}

export function snsError(name: SnsErrorName, message: string, cause?: unknown): AwsError {
  return new AwsError(snsErrors[name], message, cause);
}

export function commonError(name: CommonErrorName, message: string): AwsError {
  return new AwsError(common[name], message);
}

/** `Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.` */
export function invalidValue(parameter: string, value: unknown, reason: string): AwsError {
  const shown = String(value).slice(0, 1_024);
  return sqsError(
    "InvalidParameterValue",
    `Value ${shown} for parameter ${parameter} is invalid. Reason: ${reason}`,
  );
}

/** `Invalid parameter: TopicArn Reason: …` */
export function invalidParameter(parameter: string, reason?: string): AwsError {
  return snsError(
    "InvalidParameter",
    `Invalid parameter: ${parameter}${reason === undefined ? "" : ` Reason: ${reason}`}`,
  );
}

/** A required parameter that is not there. */
export function missingParameter(service: Service, path: string): AwsError {
  if (service === "sqs")
    return sqsError("MissingParameter", `The request must contain the parameter ${path}.`);
  const member = path.charAt(0).toLowerCase() + path.slice(1);
  return snsError(
    "ValidationError",
    `1 validation error detected: Value null at '${member}' failed to satisfy constraint: Member must not be null`,
  );
}
