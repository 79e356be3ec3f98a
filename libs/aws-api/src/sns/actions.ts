import type { Call } from "../call.ts";
import type { SnsActionName, SnsInput } from "../model/sns.ts";
import { addPermission, removePermission } from "./permissions.ts";
import { publish, publishBatch } from "./publish.ts";
import {
  getSubscriptionAttributes,
  listSubscriptions,
  listSubscriptionsByTopic,
  setSubscriptionAttributes,
  subscribe,
  unsubscribe,
} from "./subscriptions.ts";
import { listTagsForResource, tagResource, untagResource } from "./tags.ts";
import {
  confirmSubscription,
  createTopic,
  deleteTopic,
  getDataProtectionPolicy,
  getTopicAttributes,
  listTopics,
  putDataProtectionPolicy,
  setTopicAttributes,
} from "./topics.ts";

/** What each action of SNS does. */
export const snsHandlers: {
  [Name in SnsActionName]: (call: Call, input: SnsInput<Name>) => Promise<object | void>;
} = {
  AddPermission: addPermission,
  ConfirmSubscription: confirmSubscription,
  CreateTopic: createTopic,
  DeleteTopic: deleteTopic,
  GetDataProtectionPolicy: getDataProtectionPolicy,
  GetSubscriptionAttributes: getSubscriptionAttributes,
  GetTopicAttributes: getTopicAttributes,
  ListSubscriptions: listSubscriptions,
  ListSubscriptionsByTopic: listSubscriptionsByTopic,
  ListTagsForResource: listTagsForResource,
  ListTopics: listTopics,
  Publish: publish,
  PublishBatch: publishBatch,
  PutDataProtectionPolicy: putDataProtectionPolicy,
  RemovePermission: removePermission,
  SetSubscriptionAttributes: setSubscriptionAttributes,
  SetTopicAttributes: setTopicAttributes,
  Subscribe: subscribe,
  TagResource: tagResource,
  Unsubscribe: unsubscribe,
  UntagResource: untagResource,
};
