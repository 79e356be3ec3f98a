import {
  queueDefaults,
  type MessageInput,
  type Queue,
  type QueueSettings,
  type ReceivedSlice,
  type Subscription,
  type Topic,
} from "@sluice/engine";

/**
 * What AWS' protocols need of the engine beyond what its types say today. Each is used as soon as the engine has it;
 * all casts of this package to what the engine will be are here.
 */
export const engineHas = {
  fifoQueues: "fifo" in queueDefaults,
};

export interface FifoSettings {
  fifo: boolean;
  contentBasedDeduplication: boolean;
  deduplicationScope: "queue" | "messageGroup";
  fifoThroughputLimit: "perQueue" | "perMessageGroupId";
}

export type AllQueueSettings = QueueSettings & FifoSettings;

export function engineSettings(settings: Partial<AllQueueSettings>): Partial<QueueSettings> {
  return settings;
}

export function fifoSettingsOf(queue: Queue): FifoSettings {
  const settings: Partial<FifoSettings> = queue as Partial<FifoSettings>;
  return {
    fifo: settings.fifo ?? false,
    contentBasedDeduplication: settings.contentBasedDeduplication ?? false,
    deduplicationScope: settings.deduplicationScope ?? "queue",
    fifoThroughputLimit: settings.fifoThroughputLimit ?? "perQueue",
  };
}

/** Of a topic, whichever of it the engine knows. */
export function isFifoTopic(topic: Topic): boolean {
  return (topic as { fifo?: boolean }).fifo ?? false;
}

/** Bytes of body and attributes that one message of a topic may have. */
export function maxMessageSizeOf(topic: Topic): number {
  return (topic as { maxMessageSize?: number }).maxMessageSize ?? 262_144;
}

export function engineMessage(message: MessageInput & { deduplicationId?: string | undefined }) {
  return message as MessageInput;
}

export function sequenceNumberOf(result: { messageId: string }): string | undefined {
  return (result as { sequenceNumber?: string }).sequenceNumber;
}

export function sequenceNumbersOf(slice: ReceivedSlice): readonly string[] {
  return (slice as { sequenceNumbers?: string[] }).sequenceNumbers ?? [];
}

export interface SubscriptionSettings {
  filterPolicy: object | null;
  filterPolicyScope: "MessageAttributes" | "MessageBody";
  rawDelivery: boolean;
  redrivePolicy: { deadLetterQueue: string } | null;
}

type SettableSubscription = Subscription & Partial<SubscriptionSettings>;

export function subscriptionSettingsOf(subscription: Subscription): Partial<SubscriptionSettings> {
  const { filterPolicy, filterPolicyScope, rawDelivery, redrivePolicy } =
    subscription as SettableSubscription;
  return { filterPolicy, filterPolicyScope, rawDelivery, redrivePolicy };
}

/** Codes of errors and of refused entries that are on their way into the engine's tables. */
export type CodeToCome =
  | "over_limit"
  | "purge_in_progress"
  | "queue_deleted_recently"
  | "visibility_beyond_limit"
  | "subscription_exists"
  | "invalid_filter_policy";
