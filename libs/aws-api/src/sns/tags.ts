import type { Topic } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidParameter, snsError } from "../errors.ts";
import type { SnsInput } from "../model/sns.ts";
import { topicOfArn } from "../names/topic-arn.ts";
import { problemOfTags } from "../tags.ts";

const MAX_TAGS = 50;

export function checkTags(tags: Record<string, string>): void {
  if (Object.keys(tags).length > MAX_TAGS)
    throw snsError(
      "TagLimitExceeded",
      "Could not complete request: tag quota of per resource exceeded",
    );
  const problem = problemOfTags(tags);
  if (problem !== undefined) throw invalidParameter("Tags", problem);
}

export async function tagResource(call: Call, input: SnsInput<"TagResource">) {
  const topic = await resourceAt(call, input.ResourceArn);
  const added = Object.fromEntries(input.Tags.map(({ Key, Value }) => [Key, Value]));
  const tags = { ...topic.tags, ...added };
  checkTags(tags);
  await call.engine.topics.update(call.account, topic.name, { tags });
}

export async function untagResource(call: Call, input: SnsInput<"UntagResource">) {
  const topic = await resourceAt(call, input.ResourceArn);
  const gone = new Set(input.TagKeys);
  const tags = Object.fromEntries(Object.entries(topic.tags).filter(([key]) => !gone.has(key)));
  await call.engine.topics.update(call.account, topic.name, { tags });
}

export async function listTagsForResource(call: Call, input: SnsInput<"ListTagsForResource">) {
  const { tags } = await resourceAt(call, input.ResourceArn);
  return { Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) };
}

async function resourceAt(call: Call, arn: string): Promise<Topic> {
  const topic = await call.engine.topics.find(call.account, topicOfArn(call, arn, "ResourceArn"));
  if (!topic) throw snsError("ResourceNotFound", "Resource does not exist");
  return topic;
}
