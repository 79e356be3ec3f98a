export { Engine, type EngineOptions } from "./engine.ts";
export type { Observer, QueueHolds } from "./observer.ts";
export {
  errorTable,
  SluiceError,
  queueNotFound,
  subscriptionNotFound,
  topicNotFound,
  type EntryError,
  type EntryErrorCode,
  type ErrorCode,
  type ErrorDetail,
} from "./errors.ts";
export { messageBytes, type MessageAttribute, type MessageInput } from "./message/message.ts";
export type { WriteResult } from "./write/message-writer.ts";
export type { StoredMessage } from "./write/stored-call.ts";
export type { Page, PageRequest } from "./directory/pages.ts";
export { AccessKeys, type AccessKey, type ListedAccessKey } from "./access-keys/access-keys.ts";
export type { ListedTopic, SettableTopic, Topic } from "./topics/topics.ts";
export { topicDefaults, type TopicSettings } from "./topics/topic-settings.ts";
export type { ListedQueue, Queue } from "./queues/queue-rows.ts";
export { queueDefaults, type QueueSettings } from "./queues/queue-settings.ts";
export { countMessages, type QueueCounts, type QueueTotals } from "./ledger/count-messages.ts";
export { foldLedger } from "./ledger/fold-ledger.ts";
export { ageOfOutbox, watchOutbox } from "./ledger/watch-outbox.ts";
export { TableMaintenance } from "./vacuum/maintain-tables.ts";
export type { Link, Subscription } from "./subscriptions/subscription-rows.ts";
export {
  subscriptionDefaults,
  type SubscriptionSettings,
} from "./subscriptions/subscription-settings.ts";
export type { ArchivedMatches, Match } from "./match/match.ts";
export type { Replay } from "./replay/replays.ts";
export type { ReplayPoint, ReplayRequest } from "./replay/replay-range.ts";
export { ReplayDuty } from "./replay/replay-duty.ts";
export type { Peeked, PeekRequest } from "./peek/peeked.ts";
export type { RedriveTask } from "./redrive/redrive-tasks.ts";
export type { NotificationOptions } from "./envelope/envelopes.ts";
export type { DeliveryState, Trace, TracedDelivery } from "./trace/trace.ts";
export { rotateEvents } from "./trace/rotate-events.ts";
export { noLongerHeld, type MarkedReceipt } from "./receipt-handle/read-handles.ts";
export type { GoneSignal } from "./receive/gone-signal.ts";
export { MAX_ANSWER } from "./receive/answer-sizes.ts";
export type { Received, ReceiveOptions } from "./receive/receive.ts";
export type { ReceivedSlice } from "./receive/received-slice.ts";
export { bitCharacter } from "./receipt-handle/receipt-handle.ts";
export { startDispatcher, type RunningDispatcher } from "./fan-out/start-dispatcher.ts";
export { carryOnRedrives } from "./redrive/carry-on-redrives.ts";
export { CleanUpDuty } from "./clean-up/clean-up-duty.ts";
export { cleanUp, type CleanUpOptions, type CleanUpResult } from "./clean-up/clean-up.ts";
