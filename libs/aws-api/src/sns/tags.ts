import { SluiceError } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidParameter, snsError } from "../errors.ts";
import type { SnsInput } from "../model/sns.ts";
import { topicOfArn } from "../names/topic-arn.ts";
import { problemOfTags, withoutTags } from "../tags.ts";

type Tags = Record<string, string>;

const MAX_TAGS = 50;

/** @throws {AwsError} `InvalidParameter` for a key that is there twice */
export function tagsOf(given: readonly { Key: string; Value: string }[]): Tags {
  const tags = Object.fromEntries(given.map(({ Key, Value }) => [Key, Value]));
  if (Object.keys(tags).length < given.length)
    throw invalidParameter("Duplicated keys are not allowed.");
  return tags;
}

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
  const added = tagsOf(input.Tags);
  await changeTags(call, input.ResourceArn, (before) => {
    const tags = { ...before, ...added };
    checkTags(tags);
    return tags;
  });
}

export async function untagResource(call: Call, input: SnsInput<"UntagResource">) {
  await changeTags(call, input.ResourceArn, (before) => withoutTags(before, input.TagKeys));
}

export async function listTagsForResource(call: Call, input: SnsInput<"ListTagsForResource">) {
  const name = topicOfArn(call, input.ResourceArn, "ResourceArn");
  const topic = await call.engine.topics.find(call.account, name);
  if (!topic) throw noSuchResource();
  const { tags } = topic;
  return { Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) };
}

async function changeTags(call: Call, arn: string, change: (before: Tags) => Tags): Promise<void> {
  const name = topicOfArn(call, arn, "ResourceArn");
  try {
    await call.engine.topics.update(call.account, name, ({ tags }) => ({ tags: change(tags) }));
  } catch (error) {
    if (error instanceof SluiceError && error.code === "topic_not_found") throw noSuchResource();
    throw error;
  }
}

function noSuchResource() {
  return snsError("ResourceNotFound", "Resource does not exist");
}
