import type { AttributesInput } from "@sluice/client";
import type { OptionNames } from "@sluice/client/internal";

interface MessageOptions {
  /**
   * Up to 10, besides the body: `{ type: "push", count: 3, digest: bytes }`. Their sizes count toward the message's.
   */
  readonly attributes?: AttributesInput;
  /**
   * What the message belongs to: up to 128 letters, digits and punctuation. A FIFO topic or queue needs it: it keeps
   * the order within.
   */
  readonly groupId?: string;
  /**
   * FIFO topics and queues: what the message is known by, up to 128 letters, digits and punctuation. The same id again
   * within 5 minutes stores nothing and returns the first message. Default: what `contentBasedDeduplication` makes of
   * the body.
   */
  readonly deduplicationId?: string;
}

/** What a message to a topic can carry besides its payload. */
export interface TopicMessageOptions extends MessageOptions {
  /** A line of fewer than 100 characters. */
  readonly subject?: string;
}

/** What a message to a queue can carry besides its payload. */
export interface QueueMessageOptions extends MessageOptions {
  /** How long the message stays hidden, in seconds, up to ten years; not in FIFO queues. Default: the queue's delay. */
  readonly delay?: number;
}

/** How the call itself is made. */
export interface CallOptions {
  /**
   * 1 to 120 visible ASCII characters that name this call, such as an outbox row's id: made again within 5 minutes,
   * even by another process, it stores nothing and returns the same ids. Default: a random one, so that only the
   * producer's own retries are covered.
   *
   * Only the destination and the number of messages are compared (`idempotency_key_reused` where they differ), not what
   * is in them: a call with another payload under the same key is taken for a repeat, and that payload is not stored.
   * So name the event (`order-17-paid`), not what it is about (`order-17`).
   */
  readonly idempotencyKey?: string;
  /** Gives up waiting. The messages may have been stored nevertheless. */
  readonly signal?: AbortSignal;
}

/** Options of many messages at once: the same for all, or each its own. */
export interface EachOption<Input, Options> {
  /** Options of one message, laid over the common ones. */
  readonly each?: (payload: Input, index: number) => Options | undefined;
}

/** What a publish takes besides its payload. */
export type PublishOptions = TopicMessageOptions & CallOptions;
/** What a publish of many messages takes besides their payloads: of all, or of each. */
export type PublishAllOptions<Input> = PublishOptions & EachOption<Input, TopicMessageOptions>;
/** What a send takes besides its payload. */
export type SendOptions = QueueMessageOptions & CallOptions;
/** What a send of many messages takes besides their payloads: of all, or of each. */
export type SendAllOptions<Input> = SendOptions & EachOption<Input, QueueMessageOptions>;

/** What a message to a FIFO topic or queue must have, and what it cannot. */
interface Ordered {
  readonly groupId: string;
  readonly delay?: never;
}

/** For many messages: their group is said of all, or of each. */
type AllOrdered<Input, Options> =
  | (Ordered & EachOption<Input, Options & { readonly delay?: never }>)
  | {
      readonly delay?: never;
      readonly each: (payload: Input, index: number) => Options & Ordered;
    };

/**
 * What comes after the payload: options, which a FIFO destination cannot do without. One whose name is just a `string`
 * to TypeScript may be either.
 */
type OptionsFor<Name extends string, Options, Fifo extends Options> = Name extends `${string}.fifo`
  ? [options: Fifo]
  : [options?: Options];

/** What publish takes after its payload. */
export type PublishArguments<Name extends string> = OptionsFor<
  Name,
  PublishOptions,
  PublishOptions & Ordered
>;
/** What publishAll takes after its payloads. */
export type PublishAllArguments<Name extends string, Input> = OptionsFor<
  Name,
  PublishAllOptions<Input>,
  PublishOptions & AllOrdered<Input, TopicMessageOptions>
>;
/** What send takes after its payload. */
export type SendArguments<Name extends string> = OptionsFor<
  Name,
  SendOptions,
  SendOptions & Ordered
>;
/** What sendAll takes after its payloads. */
export type SendAllArguments<Name extends string, Input> = OptionsFor<
  Name,
  SendAllOptions<Input>,
  SendOptions & AllOrdered<Input, QueueMessageOptions>
>;

const message: OptionNames<MessageOptions> = {
  attributes: true,
  groupId: true,
  deduplicationId: true,
};
const toTopic: OptionNames<TopicMessageOptions> = { ...message, subject: true };
const toQueue: OptionNames<QueueMessageOptions> = { ...message, delay: true };
const call: OptionNames<CallOptions> = { idempotencyKey: true, signal: true };

/** What there is for one message, for many, and for each of many. */
export const namesOfOptions = {
  topic: {
    one: { ...toTopic, ...call },
    all: { ...toTopic, ...call, each: true },
    each: toTopic,
  },
  queue: {
    one: { ...toQueue, ...call },
    all: { ...toQueue, ...call, each: true },
    each: toQueue,
  },
};
