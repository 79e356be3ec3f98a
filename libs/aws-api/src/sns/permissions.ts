import type { Call } from "../call.ts";
import { invalidParameter } from "../errors.ts";
import type { SnsInput } from "../model/sns.ts";
import { topicArn } from "../names/topic-arn.ts";
import {
  addPermission as add,
  isPolicy,
  MAX_POLICY_BYTES,
  removePermission as remove,
} from "../policy.ts";
import { defaultPolicy } from "./topic-attributes.ts";
import { changeAttributes } from "./topics.ts";

const LABEL = /^[A-Za-z0-9_-]{1,80}$/;
const ACTIONS = new Set([
  "GetTopicAttributes",
  "SetTopicAttributes",
  "AddPermission",
  "RemovePermission",
  "DeleteTopic",
  "Subscribe",
  "ListSubscriptionsByTopic",
  "Publish",
  "Receive",
]);

/** Kept in the topic's Policy and shown there; what a key may do here its account says. */
export async function addPermission(call: Call, input: SnsInput<"AddPermission">) {
  const { Label: label, AWSAccountId: accounts, ActionName: actions } = input;
  if (!LABEL.test(label)) throw invalidParameter("Label");
  if (accounts.length === 0 || !accounts.every((account) => /^\d{12}$/.test(account)))
    throw invalidParameter("AWSAccountId");
  if (actions.length === 0 || !actions.every((action) => ACTIONS.has(action)))
    throw invalidParameter("Policy statement action out of service scope!");
  await changeAttributes(call, input.TopicArn, ({ name, awsAttributes }) => {
    const resource = topicArn(call, name);
    // What a topic has of itself stays beside it.
    const policy = add(awsAttributes["Policy"] ?? defaultPolicy(call.account, resource), {
      label,
      accounts,
      actions: actions.map((action) => `SNS:${action}`),
      resource,
    });
    if (policy === undefined) throw invalidParameter("Statement already exists");
    if (!isPolicy(policy))
      throw invalidParameter("Policy", `it would be longer than ${MAX_POLICY_BYTES} bytes`);
    return { Policy: policy };
  });
}

export async function removePermission(call: Call, input: SnsInput<"RemovePermission">) {
  await changeAttributes(call, input.TopicArn, ({ awsAttributes }): Record<string, string> => {
    const policy = remove(awsAttributes["Policy"], input.Label);
    // Removing what is not there is no error.
    return policy === undefined ? {} : { Policy: policy };
  });
}
