import { checkBatch, failedEntry, type FailedEntry } from "../batch.ts";
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
  // A handle that is out of date deletes nothing. A standard queue of AWS says that it did all the same.
  const isStillThere = isFifoName(name)
    ? await stillThere(call, name, handles, results)
    : undefined;
  return results.map((result, index) => {
    if (result === undefined || result instanceof AwsError) return result;
    if (!isStillThere?.has(index)) return undefined;
    return invalidValue("ReceiptHandle", handles[index] ?? "", "The receipt handle has expired.");
  });
}

/** Which of those that were not deleted are there for somebody else; what is gone was deleted by a call that this one repeats. */
async function stillThere(
  { engine, account }: Call,
  name: string,
  handles: readonly string[],
  results: readonly unknown[],
): Promise<ReadonlySet<number>> {
  const left = [...results.keys()].filter(
    (index) => results[index] !== undefined && !(results[index] instanceof AwsError),
  );
  if (left.length === 0) return new Set();
  const gone = await engine.acknowledger.areGone(
    account,
    name,
    left.map((index) => handles[index] ?? ""),
  );
  return new Set(left.filter((_, place) => !gone[place]));
}

/** What a batch answers: the ids of what was done, and what was not with its error. */
export function batchResult(
  entries: readonly { Id: string }[],
  errors: readonly (AwsError | undefined)[],
): { Successful: { Id: string }[]; Failed: FailedEntry[] } {
  const successful = entries.filter((_, index) => errors[index] === undefined);
  return {
    Successful: successful.map(({ Id }) => ({ Id })),
    Failed: entries.flatMap(({ Id }, index) => {
      const error = errors[index];
      return error ? [failedEntry(Id, error)] : [];
    }),
  };
}
