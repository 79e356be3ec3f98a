import { AwsError, snsError, sqsError, type Service } from "./errors.ts";

const MAX_ENTRIES = 10;
const ENTRY_ID = /^[A-Za-z0-9_-]{1,80}$/;

/** @throws {AwsError} for what AWS refuses of a batch as a whole: no or too many entries, their ids */
export function checkBatch(
  service: Service,
  entryName: string,
  entries: readonly { Id: string }[],
): void {
  const refuse = (name: BatchErrorName, message: string) =>
    service === "sqs" ? sqsError(name, message) : snsError(name, message);
  if (entries.length === 0) {
    throw refuse("EmptyBatchRequest", `There should be at least one ${entryName} in the request.`);
  }
  if (entries.length > MAX_ENTRIES) {
    throw refuse(
      "TooManyEntriesInBatchRequest",
      service === "sqs"
        ? `Maximum number of entries per request are 10. You have sent ${entries.length}.`
        : "The batch request contains more entries than permissible.",
    );
  }
  const ids = new Set<string>();
  for (const { Id: id } of entries) {
    if (!ENTRY_ID.test(id)) {
      throw refuse(
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
      );
    }
    if (ids.has(id)) {
      throw refuse(
        "BatchEntryIdsNotDistinct",
        service === "sqs"
          ? `Id ${id} repeated.`
          : "Two or more batch entries in the request have the same Id.",
      );
    }
    ids.add(id);
  }
}

type BatchErrorName =
  | "EmptyBatchRequest"
  | "TooManyEntriesInBatchRequest"
  | "InvalidBatchEntryId"
  | "BatchEntryIdsNotDistinct";

/** One entry that failed, in the words of both services. */
export interface FailedEntry {
  Id: string;
  Code: string;
  Message: string;
  SenderFault: boolean;
}

export function failedEntry(id: string, error: AwsError): FailedEntry {
  return {
    Id: id,
    Code: error.form.code,
    Message: error.message,
    SenderFault: error.fault === "Sender",
  };
}

/**
 * What a batch of SQS answers. A list without entries is left out: programs that AWS answers find nothing failed where
 * there is no `Failed`, as `hasFailed()` of its SDK for Java does. (SNS' lists are there in any case.)
 */
export function batchAnswer<Done extends object>(
  successful: readonly Done[],
  failed: FailedEntry[],
) {
  return {
    ...(successful.length > 0 && { Successful: successful }),
    ...(failed.length > 0 && { Failed: failed }),
  };
}

/** What a step gives for an entry, or the error that refuses it alone. */
export function attempt<Result>(step: () => Result): Result | AwsError {
  try {
    return step();
  } catch (error) {
    if (error instanceof AwsError) return error;
    throw error;
  }
}
