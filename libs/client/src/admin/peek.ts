import { decodeAttributes } from "../attributes.ts";
import type { AttributeValue, WireAttributes } from "../attributes.ts";
import type { Connection } from "../connection.ts";
import type { OptionNames } from "../options.ts";
import { pages } from "./pages.ts";

/**
 * `visible`: a receive could take it now; `inFlight`: received, and not settled yet; `delayed`: its delay has not
 * passed.
 */
export type MessageState = "visible" | "inFlight" | "delayed";

/** Which messages are looked at, and in what order. */
export interface PeekOptions {
  /**
   * By the time at which messages become visible, in FIFO queues by the order of their sends. Default "oldest" first.
   */
  readonly order?: "oldest" | "newest";
  /** Only messages in this state. */
  readonly state?: MessageState;
  /** Only messages with this text, whatever its case, in the body or in an attribute: 1 to 256 characters. */
  readonly search?: string;
  /** How many a page holds, 1 to 100; the server's own default otherwise. */
  readonly pageSize?: number;
  /**
   * Ends the iteration: it throws `aborted` in the middle of a page that is on its way, or where the next one begins.
   */
  readonly signal?: AbortSignal;
}

/** A message as it lies in the queue. */
export interface PeekedMessage {
  /** What its publish or send returned, a UUIDv7. */
  readonly messageId: string;
  /** The text as it was sent: not checked against a schema, so that also what no consumer can read can be looked at. */
  readonly body: string;
  /** By name: those of type `Number` are numbers, `Binary` ones are bytes. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Of what was published with one. */
  readonly subject?: string;
  /** What it was sent with: in FIFO queues the order is kept within. */
  readonly groupId?: string;
  /** In FIFO queues: what it is known by. */
  readonly deduplicationId?: string;
  /** In FIFO queues: the order within a group, 20 digits. */
  readonly sequenceNumber?: string;
  readonly state: MessageState;
  /** How often it was received; from the beginning again for a dead letter and after a redrive. */
  readonly receiveCount: number;
  /** When it was published or sent, or redriven; of a dead letter in a FIFO queue, when it became one. */
  readonly sentAt: Date;
  /** Out of the archive of its topic; `sentAt` is when it was published. */
  readonly replayed?: true;
  /** When it becomes, or became, visible. */
  readonly visibleAt: Date;
  /** Why it is a dead letter, or was last given back by a consumer; absent where neither is known. */
  readonly failureReason?: string;
}

const known: OptionNames<PeekOptions> = {
  order: true,
  state: true,
  search: true,
  pageSize: true,
  signal: true,
};

export function peek(
  connection: Connection,
  path: string,
  options: PeekOptions,
): AsyncGenerator<PeekedMessage, void, undefined> {
  const { order, state, search } = options;
  return pages(connection, {
    call: "admin.queues.peek",
    path,
    field: "messages",
    query: { order, state, search },
    options,
    known,
    read: peekedMessage,
  });
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
