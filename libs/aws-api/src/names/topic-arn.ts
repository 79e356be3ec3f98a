import type { Call } from "../call.ts";
import { invalidParameter, snsError } from "../errors.ts";
import { readArn } from "./arn.ts";

const TOPIC_NAME = /^[A-Za-z0-9_-]{1,256}$/;
const FIFO_NAME = /^[A-Za-z0-9_-]{1,251}\.fifo$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function topicArn({ settings, account }: Call, name: string): string {
  return `arn:aws:sns:${settings.region}:${account}:${name}`;
}

/** @throws {AwsError} `InvalidParameter` for what is no ARN of a topic of this account and region */
export function topicOfArn(call: Call, arn: string, parameter = "TopicArn"): string {
  const name = readArn("sns", call, arn);
  if (name === undefined || !isTopicName(name)) throw invalidArn(parameter, arn);
  return name;
}

export function isTopicName(name: string): boolean {
  return TOPIC_NAME.test(name) || FIFO_NAME.test(name);
}

export function subscriptionArn(call: Call, subscription: { id: string; topic: string }): string {
  return `${topicArn(call, subscription.topic)}:${subscription.id}`;
}

/** @throws {AwsError} `InvalidParameter` for what is no ARN of a subscription of this account and region */
export function subscriptionOfArn(call: Call, arn: string): { topic: string; id: string } {
  const [topic = "", id = "", more] = (readArn("sns", call, arn) ?? "").split(":");
  if (!isTopicName(topic) || more !== undefined) throw invalidArn("SubscriptionArn", arn);
  if (!UUID.test(id)) throw invalidParameter("SubscriptionId");
  return { topic, id };
}

function invalidArn(parameter: string, arn: string) {
  const elements = arn.split(":", 6).length;
  return invalidParameter(
    parameter,
    elements < 6 ? `An ARN must have at least 6 elements, not ${elements}` : undefined,
  );
}

export function noSuchTopic() {
  return snsError("NotFound", "Topic does not exist");
}
