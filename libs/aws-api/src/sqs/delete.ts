import { LRUCache } from "lru-cache";

import { batchAnswer, checkBatch, failedEntry } from "../batch.ts";
import type { Call } from "../call.ts";
import { AwsError, invalidValue } from "../errors.ts";
import type { SqsInput } from "../model/sqs.ts";
import { isFifoName, queueOfUrl } from "../names/queue-address.ts";
import { withEachHandle } from "./handles.ts";

export async function deleteMessage(call: Call, input: SqsInput<"DeleteMessage">) {
  const [error] = await deleteEach(call, input.QueueUrl, [input.ReceiptHandle]);
  if (error) throw error;
}

export async function deleteMessageBatch(call: Call, input: SqsInput<"DeleteMessageBatch">) {
  const { Entries: entries } = input;
  checkBatch("sqs", "DeleteMessageBatchRequestEntry", entries);
  const handles = entries.map(({ ReceiptHandle }) => ReceiptHandle);
  return batchResult(entries, await deleteEach(call, input.QueueUrl, handles));
}

async function deleteEach(
  call: Call,
  url: string,
  handles: readonly string[],
): Promise<(AwsError | undefined)[]> {
  const name = queueOfUrl(call, url);
  const results = await withEachHandle(handles, (indexes) =>
    call.engine.acknowledger.acknowledge(
      call.account,
      name,
      indexes.map((index) => handles[index] ?? ""),
    ),
  );
  const isFifo = isFifoName(name);
  return results.map((result, index) => {
    const handle = handles[index] ?? "";
    if (result instanceof AwsError) return result;
    if (result === undefined) {
      if (isFifo) deleted.set(handle, true);
      return undefined;
    }
    // A handle that is out of date deletes nothing. A standard queue of AWS says that it did all the same.
    if (!isFifo || deleted.has(handle)) return undefined;
    return invalidValue("ReceiptHandle", handle, "The receipt handle has expired.");
  });
}

/** Handles of FIFO queues by which this process has deleted lately: an SDK whose answer was lost calls again. */
const deleted = new LRUCache<string, true>({ max: 10_000, ttl: 5 * 60_000 });

/** What a batch answers: the ids of what was done, and what was not with its error. */
export function batchResult(
  entries: readonly { Id: string }[],
  errors: readonly (AwsError | undefined)[],
) {
  const successful = entries.filter((_, index) => errors[index] === undefined);
  const failed = entries.flatMap(({ Id }, index) => {
    const error = errors[index];
    return error ? [failedEntry(Id, error)] : [];
  });
  return batchAnswer(
    successful.map(({ Id }) => ({ Id })),
    failed,
  );
}
