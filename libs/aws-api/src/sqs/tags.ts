import type { Call } from "../call.ts";
import { sqsError } from "../errors.ts";
import type { SqsInput } from "../model/sqs.ts";
import { problemOfTags, withoutTags } from "../tags.ts";
import { queueAt } from "./find-queue.ts";
import { changeQueue } from "./queues.ts";

export async function tagQueue(call: Call, input: SqsInput<"TagQueue">) {
  if (input.Tags.size === 0) {
    throw sqsError("MissingParameter", "The request must contain the parameter Tags.");
  }
  await changeQueue(call, input.QueueUrl, (queue) => {
    const tags = { ...queue.tags, ...Object.fromEntries(input.Tags) };
    const problem = problemOfTags(tags);
    if (problem !== undefined) throw sqsError("InvalidParameterValue", problem);
    return { tags };
  });
}

export async function untagQueue(call: Call, input: SqsInput<"UntagQueue">) {
  await changeQueue(call, input.QueueUrl, ({ tags }) => ({
    tags: withoutTags(tags, input.TagKeys),
  }));
}

export async function listQueueTags(call: Call, input: SqsInput<"ListQueueTags">) {
  const { tags } = await queueAt(call, input.QueueUrl);
  return Object.keys(tags).length > 0 ? { Tags: tags } : {};
}
