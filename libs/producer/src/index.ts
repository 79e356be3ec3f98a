export { createProducer } from "./producer.ts";
export type { Producer, ProducerOptions } from "./producer.ts";
export type { BatchingOptions } from "./batching.ts";
export type {
  CallOptions,
  EachOption,
  PublishAllArguments,
  PublishAllOptions,
  PublishArguments,
  PublishOptions,
  QueueMessageOptions,
  SendAllArguments,
  SendAllOptions,
  SendArguments,
  SendOptions,
  TopicMessageOptions,
} from "./message-options.ts";
export { PublishError } from "./publish-error.ts";
export type { PublishedMessage, PublishResult } from "./publish-error.ts";
