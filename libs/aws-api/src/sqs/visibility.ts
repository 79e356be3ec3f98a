import type { EntryErrorCode } from "@sluice/engine";

import { attempt, checkBatch } from "../batch.ts";
import type { Call } from "../call.ts";
import { AwsError, invalidValue, sqsError } from "../errors.ts";
import type { SqsInput } from "../model/sqs.ts";
import { isFifoName, queueOfUrl } from "../names/queue-address.ts";
import { batchResult } from "./delete.ts";
import { withEachHandle } from "./handles.ts";

interface Change {
  handle: string;
  timeout: number;
}

export async function changeMessageVisibility(
  call: Call,
  input: SqsInput<"ChangeMessageVisibility">,
) {
  const change = { handle: input.ReceiptHandle, timeout: checkedTimeout(input.VisibilityTimeout) };
  const [error] = await changeEach(call, input.QueueUrl, [change]);
  if (error) throw error;
}

export async function changeMessageVisibilityBatch(
  call: Call,
  input: SqsInput<"ChangeMessageVisibilityBatch">,
) {
  const { Entries: entries } = input;
  checkBatch("sqs", "ChangeMessageVisibilityBatchRequestEntry", entries);
  const timeouts = entries.map((entry) => attempt(() => checkedTimeout(entry.VisibilityTimeout)));
  const changes = entries.flatMap(({ ReceiptHandle: handle }, index) => {
    const timeout = timeouts[index];
    return typeof timeout === "number" ? [{ handle, timeout }] : [];
  });
  const done = await changeEach(call, input.QueueUrl, changes);
  let next = 0;
  const errors = timeouts.map((timeout) => {
    if (timeout instanceof AwsError) return timeout;
    next += 1;
    return done[next - 1];
  });
  return batchResult(entries, errors);
}

function checkedTimeout(seconds: number | undefined): number {
  if (seconds === undefined) {
    throw sqsError("MissingParameter", "The request must contain the parameter VisibilityTimeout.");
  }
  if (seconds >= 0 && seconds <= 43_200) return seconds;
  throw invalidValue(
    "VisibilityTimeout",
    seconds,
    "VisibilityTimeout must be an integer between 0 and 43200.",
  );
}

async function changeEach(
  call: Call,
  url: string,
  changes: readonly Change[],
): Promise<(AwsError | undefined)[]> {
  const name = queueOfUrl(call, url);
  const results = await withEachHandle(
    changes.map(({ handle }) => handle),
    (indexes) =>
      call.engine.visibility.change(
        call.account,
        name,
        indexes.map((index) => {
          const { handle = "", timeout = 0 } = changes[index] ?? {};
          return { receiptHandle: handle, visibilityTimeout: timeout };
        }),
      ),
  );
  return results.map((result, index) => {
    if (result === undefined || result instanceof AwsError) return result;
    const change = changes[index];
    // Who gives back what he no longer holds has what he asked for. A standard queue of AWS says that it was done.
    if (change?.timeout === 0 && !isFifoName(name)) return undefined;
    return refusal(result.code, change);
  });
}

function refusal(code: EntryErrorCode, change: Change | undefined): AwsError {
  if (code === "visibility_beyond_limit") {
    return invalidValue(
      "VisibilityTimeout",
      change?.timeout,
      "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
    );
  }
  // MessageNotInflight is what the documentation has. SQS says this, and clients look for its code or its words.
  return invalidValue(
    "ReceiptHandle",
    change?.handle,
    "Message does not exist or is not available for visibility timeout change.",
  );
}
