export { connect } from "./connection.ts";
export type { ApiRequest, ConnectOptions, Connection } from "./connection.ts";
export type { RetryOptions } from "./retry.ts";
export { SluiceError, errorCodes } from "./errors.ts";
export type { ErrorDetail, SluiceErrorCode, SluiceErrorOptions } from "./errors.ts";
export { queue, topic } from "./declarations.ts";
export type {
  Payload,
  PayloadInput,
  QueueDeclaration,
  QueueReference,
  TopicDeclaration,
  TopicReference,
} from "./declarations.ts";
export { json } from "./payload.ts";
export type { PayloadFormat } from "./payload.ts";
export type {
  AttributesInput,
  AttributeValue,
  WireAttribute,
  WireAttributes,
} from "./attributes.ts";
export { createAdmin } from "./admin/admin.ts";
export type { Admin } from "./admin/admin.ts";
export type { AdminCallOptions } from "./admin/call-options.ts";
export type { ListOptions } from "./admin/pages.ts";
export type {
  QueueAdmin,
  QueueCounts,
  QueueInfo,
  QueueInfoWithCounts,
  NewQueueSettings,
  QueueSettings,
  QueueTotals,
  RedriveAllowPolicy,
  RedrivePolicy,
} from "./admin/queues.ts";
export type { MessageState, PeekedMessage, PeekOptions } from "./admin/peek.ts";
export type { Redrive, RedriveAdmin, RedriveOptions } from "./admin/redrives.ts";
export type {
  MessageAdmin,
  MessageTrace,
  TracedArrival,
  TracedDelivery,
  TracedState,
  TracedSubscription,
} from "./admin/messages.ts";
export type { Replay, ReplayAdmin, ReplayOptions, ReplayPoint } from "./admin/replays.ts";
export type { FilterPolicy, FilterRule } from "./admin/filter-policy.ts";
export type {
  MatchInfo,
  MatchInput,
  ArchivedMatchInfo,
  EnvelopedSettings,
  FedQueue,
  NewSubscriptionSettings,
  SubscriptionAdmin,
  SubscriptionInfo,
  SubscriptionListOptions,
  SubscriptionRedrivePolicy,
  SubscriptionSettings,
} from "./admin/subscriptions.ts";
export type { Tags, TopicAdmin, TopicArchive, TopicInfo, TopicSettings } from "./admin/topics.ts";
