import { decodeAttributes } from "../attributes.ts";
import type { AttributeValue, WireAttributes } from "../attributes.ts";
import type { Connection } from "../connection.ts";
import { pages } from "./pages.ts";

export type MessageState = "visible" | "inFlight" | "delayed";

export interface PeekOptions {
  /** By the time at which messages become visible, in FIFO queues by the order of their sends. Default "oldest" first. */
  readonly order?: "oldest" | "newest";
  /** Only messages in this state. */
  readonly state?: MessageState;
  /** Only messages with this text, whatever its case, in the body or in an attribute: 1 to 256 characters. */
  readonly search?: string;
  /** How many a page holds, 1 to 100; the server's own default otherwise. */
  readonly pageSize?: number;
  readonly signal?: AbortSignal;
}

/** A message as it lies in the queue. */
export interface PeekedMessage {
  readonly messageId: string;
  /** The text as it was sent: not checked against a schema, so that also what no consumer can read can be looked at. */
  readonly body: string;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly subject?: string;
  readonly groupId?: string;
  readonly deduplicationId?: string;
  /** In FIFO queues: the order within a group, 20 digits. */
  readonly sequenceNumber?: string;
  readonly state: MessageState;
  readonly receiveCount: number;
  readonly sentAt: Date;
  /** Out of the archive of its topic; `sentAt` is when it was published. */
  readonly replayed?: true;
  /** When it becomes, or became, visible. */
  readonly visibleAt: Date;
  /** Why it is a dead letter; absent from other messages. */
  readonly failureReason?: string;
}

export function peek(
  connection: Connection,
  path: string,
  { order, state, search, ...options }: PeekOptions,
): AsyncGenerator<PeekedMessage, void, undefined> {
  const query = { order, state, search };
  return pages(connection, { path, field: "messages", query, options, read: peekedMessage });
}

function peekedMessage(wire: unknown): PeekedMessage {
  const message = wire as Omit<PeekedMessage, "attributes" | "sentAt" | "visibleAt"> & {
    attributes: WireAttributes;
    sentAt: string;
    visibleAt: string;
  };
  return {
    ...message,
    attributes: decodeAttributes(message.attributes),
    sentAt: new Date(message.sentAt),
    visibleAt: new Date(message.visibleAt),
  };
}
