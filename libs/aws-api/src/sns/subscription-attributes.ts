import type { Link, Replay, Subscription, SubscriptionSettings } from "@sluice/engine";

import type { Call } from "../call.ts";
import type { AwsError } from "../errors.ts";
import { plainBoolean } from "../plain-boolean.ts";
import { queueArn, queueOfArn } from "../names/queue-address.ts";
import { subscriptionArn, topicArn } from "../names/topic-arn.ts";
import { parseObject } from "../policy.ts";
import { readReplayPolicy, shownReplay, type ReplayedTimes } from "./replay-policy.ts";

/** What a call sets; a replay is not a setting but something that begins, or with null ends. */
export type SubscriptionAttributes = Partial<SubscriptionSettings> & {
  replay?: ReplayedTimes | null;
};

/** Makes the error of what is wrong with an attribute: in Subscribe they are a parameter, `Attributes`. */
export type RefuseAttribute = (what: string) => AwsError;

/** @throws {AwsError} `InvalidParameter` */
export function readSubscriptionAttribute(
  call: Call,
  { name, text }: { name: string; text: string },
  refuse: RefuseAttribute,
): SubscriptionAttributes {
  switch (name) {
    case "RawMessageDelivery": {
      const raw = plainBoolean(text);
      if (raw !== "true" && raw !== "false") {
        throw refuse(
          `RawMessageDelivery: Invalid value [${text.slice(0, 100)}]. Must be true or false.`,
        );
      }
      return { rawDelivery: raw === "true" };
    }
    case "FilterPolicyScope":
      if (text !== "MessageAttributes" && text !== "MessageBody") {
        throw refuse(
          `FilterPolicyScope: Invalid value [${text.slice(0, 100)}]. Please use either MessageBody or MessageAttributes`,
        );
      }
      return { filterPolicyScope: text };
    case "FilterPolicy":
      return {
        filterPolicy: text === "" || text === "{}" ? null : jsonOf("FilterPolicy", text, refuse),
      };
    case "RedrivePolicy":
      return { redrivePolicy: text === "" || text === "{}" ? null : redriveOf(call, text, refuse) };
    case "ReplayPolicy":
      return { replay: readReplayPolicy(text) };
    case "DeliveryPolicy":
    case "SubscriptionRoleArn":
      throw refuse(`AttributeName: ${name} is not possible for the protocol sqs`);
    default:
      throw refuse("AttributeName");
  }
}

function jsonOf(name: string, text: string, refuse: RefuseAttribute): object {
  const value = parseObject(text);
  if (!value) throw refuse(`${name}: failed to parse JSON.`);
  return value;
}

function redriveOf(call: Call, text: string, refuse: RefuseAttribute): { deadLetterQueue: string } {
  const arn = (jsonOf("RedrivePolicy", text, refuse) as { deadLetterTargetArn?: unknown })
    .deadLetterTargetArn;
  const deadLetterQueue = typeof arn === "string" ? queueOfArn(call, arn) : undefined;
  if (deadLetterQueue === undefined)
    throw refuse("RedrivePolicy: deadLetterTargetArn is an invalid arn");
  return { deadLetterQueue };
}

export function shownSubscription(call: Call, subscription: Link) {
  return {
    SubscriptionArn: subscriptionArn(call, subscription),
    Owner: call.account,
    Protocol: "sqs",
    Endpoint: queueArn(call, subscription.queue),
    TopicArn: topicArn(call, subscription.topic),
  };
}

export function shownSubscriptionAttributes(
  call: Call,
  subscription: Subscription,
  replay: Replay | undefined,
): Record<string, string> {
  const { filterPolicy, filterPolicyScope, rawDelivery, redrivePolicy } = subscription;
  return {
    ...shownSubscription(call, subscription),
    ConfirmationWasAuthenticated: "true",
    PendingConfirmation: "false",
    RawMessageDelivery: String(rawDelivery),
    SubscriptionPrincipal: `arn:aws:iam::${call.account}:root`,
    ...(filterPolicy && {
      FilterPolicy: JSON.stringify(filterPolicy),
      FilterPolicyScope: filterPolicyScope,
    }),
    ...(redrivePolicy && {
      RedrivePolicy: JSON.stringify({
        deadLetterTargetArn: queueArn(call, redrivePolicy.deadLetterQueue),
      }),
    }),
    ...shownReplay(replay),
  };
}
