export { createConsumer } from "./consumer.ts";
export type { Consumer } from "./consumer.ts";
export type { BatchHandler } from "./batch-workload.ts";
export type { Handler } from "./handler-workload.ts";
export type { ConsumerFailure, ConsumerOptions, ConsumerState, FailureStage } from "./options.ts";
export type { ReceivedMessage, ReleaseOptions } from "./received-message.ts";
