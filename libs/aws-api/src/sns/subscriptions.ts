import { isDeepStrictEqual } from "node:util";

import { SluiceError, type Subscription, type SubscriptionSettings } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidParameter, snsError } from "../errors.ts";
import type { SnsInput } from "../model/sns.ts";
import { queueOfArn } from "../names/queue-address.ts";
import { subscriptionArn, subscriptionOfArn, topicOfArn } from "../names/topic-arn.ts";
import { endedOnce } from "./errors.ts";
import { invalidReplay, timesOf, type ReplayedTimes } from "./replay-policy.ts";
import {
  readSubscriptionAttribute,
  shownSubscription,
  shownSubscriptionAttributes,
  type RefuseAttribute,
  type SubscriptionAttributes,
} from "./subscription-attributes.ts";
import { cursorOf, topicAt } from "./topics.ts";

const inSubscribe: RefuseAttribute = (what) => invalidParameter("Attributes", what);
const inChange: RefuseAttribute = (what) => invalidParameter(what);

export async function subscribe(call: Call, input: SnsInput<"Subscribe">) {
  const topic = topicOfArn(call, input.TopicArn);
  const queue = endpointOf(call, input.Protocol, input.Endpoint);
  const { replay, ...given } = Object.assign(
    {},
    ...[...(input.Attributes ?? [])].map(([name, text]) =>
      readSubscriptionAttribute(call, { name, text }, inSubscribe),
    ),
  ) as SubscriptionAttributes;
  try {
    const { subscription, created } = await call.engine.subscribe(call.account, topic, queue, {
      rawDelivery: false,
      ...given,
      replayFrom: replay?.from,
      replayTo: replay?.to,
    });
    if (!created) await checkSame(call, subscription, { replay, ...given });
    return { SubscriptionArn: subscriptionArn(call, subscription) };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    if (error.code === "subscription_exists") {
      const existing = await existingSubscription(call, topic, queue);
      await checkSame(call, existing, { replay, ...given });
      return { SubscriptionArn: subscriptionArn(call, existing) };
    }
    if (error.code === "queue_not_found")
      throw invalidParameter("Endpoint", "the queue does not exist; create it first");
    throw refusalOf(error, inSubscribe);
  }
}

function endpointOf(call: Call, protocol: string, endpoint: string | undefined): string {
  switch (protocol) {
    case "sqs":
      break;
    case "http":
    case "https":
      throw invalidParameter("Protocol", "HTTP(S) endpoints are not supported");
    default:
      throw invalidParameter(
        `Amazon SNS does not support this protocol string: ${protocol.slice(0, 100)}`,
      );
  }
  const queue = endpoint === undefined ? undefined : queueOfArn(call, endpoint);
  if (queue === undefined) throw invalidParameter("SQS endpoint ARN");
  return queue;
}

/** Whoever subscribes again and leaves an attribute out does not mind what it is. */
async function existingSubscription(
  { engine, account }: Call,
  topicName: string,
  queue: string,
): Promise<Subscription> {
  const topic = await engine.topicDirectory.get(account, topicName);
  const found = await engine.subscriptions.findOf(account, topic.id, queue);
  if (!found) throw existsOtherwise();
  return found;
}

async function checkSame(
  call: Call,
  existing: Subscription,
  { replay, ...given }: SubscriptionAttributes,
): Promise<void> {
  const differs = (Object.keys(given) as (keyof SubscriptionSettings)[]).some(
    (name) => !isDeepStrictEqual(existing[name], given[name]),
  );
  if (differs || (replay && !(await wasReplayed(call, existing, replay)))) throw existsOtherwise();
}

/** Whether this is what the subscription was replayed last, or is being replayed. */
async function wasReplayed(call: Call, subscription: Subscription, times: ReplayedTimes) {
  const replay = await newestReplay(call, subscription);
  return replay !== undefined && isDeepStrictEqual(timesOf(replay), times);
}

async function newestReplay({ engine, account }: Call, { id }: Subscription) {
  const [newest] = await engine.replays.list({ id, account }, 1);
  return newest;
}

function existsOtherwise() {
  return invalidParameter("Attributes", "Subscription already exists with different attributes");
}

/** What is wrong with an endpoint or a policy; with a policy in the engine's words: they point into it. */
function refusalOf(error: SluiceError, refuse: RefuseAttribute) {
  const { path = "", message = "" } = error.details?.[0] ?? {};
  if (path === "to") return invalidReplay("Invalid EndingPoint value, it is before StartingPoint");
  // SNS says it twice.
  if (path === "queue")
    return invalidParameter(
      "Invalid parameter: Endpoint",
      "FIFO SQS Queues can not be subscribed to standard SNS topics",
    );
  if (path.startsWith("redrivePolicy")) return invalidParameter(`RedrivePolicy: ${message}`);
  if (error.code === "topic_not_archived")
    return invalidReplay(
      "the topic has no ArchivePolicy; set one, for what is published from then on",
    );
  const isPolicy = ["invalid_request", "invalid_filter_policy"].includes(error.code);
  return isPolicy ? refuse(`FilterPolicy: ${error.message}`) : error;
}

/** Ending a subscription that is not there is no error. */
export async function unsubscribe(call: Call, input: SnsInput<"Unsubscribe">) {
  const { id, topic } = subscriptionOfArn(call, input.SubscriptionArn);
  const subscription = await call.engine.subscriptions.find(call.account, id);
  if (subscription?.topic === topic)
    await endedOnce(call.engine.subscriptions.delete(call.account, id));
}

async function subscriptionAt(call: Call, arn: string): Promise<Subscription> {
  const { id, topic } = subscriptionOfArn(call, arn);
  const subscription = await call.engine.subscriptions.find(call.account, id);
  if (subscription?.topic !== topic) throw snsError("NotFound", "Subscription does not exist");
  return subscription;
}

export async function getSubscriptionAttributes(
  call: Call,
  input: SnsInput<"GetSubscriptionAttributes">,
) {
  const subscription = await subscriptionAt(call, input.SubscriptionArn);
  const replay = await newestReplay(call, subscription);
  return { Attributes: shownSubscriptionAttributes(call, subscription, replay) };
}

export async function setSubscriptionAttributes(
  call: Call,
  input: SnsInput<"SetSubscriptionAttributes">,
) {
  const { AttributeName: name, AttributeValue: text = "" } = input;
  const { replay, ...change } = readSubscriptionAttribute(call, { name, text }, inChange);
  const { id } = await subscriptionAt(call, input.SubscriptionArn);
  const { engine, account } = call;
  try {
    if (replay) await engine.replay(account, id, { ...replay, replace: true });
    else if (replay === null) await engine.replays.forget({ id, account });
    else await engine.subscriptions.update(account, id, change);
  } catch (error) {
    throw error instanceof SluiceError ? refusalOf(error, inChange) : error;
  }
}

export async function listSubscriptions(call: Call, input: SnsInput<"ListSubscriptions">) {
  return await page(call, undefined, input.NextToken);
}

export async function listSubscriptionsByTopic(
  call: Call,
  input: SnsInput<"ListSubscriptionsByTopic">,
) {
  const topic = await topicAt(call, input.TopicArn);
  return await page(call, topic.id, input.NextToken);
}

async function page(call: Call, topicId: string | undefined, token: string | undefined) {
  const { items, nextCursor } = await call.engine.subscriptions.links(call.account, topicId, {
    cursor: cursorOf(token),
  });
  return {
    Subscriptions: items.map((link) => shownSubscription(call, link)),
    NextToken: nextCursor,
  };
}
