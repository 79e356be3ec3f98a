import type { AcceptedMessage } from "../message/accept-messages.ts";

/** Up to 63 messages that become one row of `batches`. */
export interface BatchDraft<Request> {
  account: string;
  targetId: string;
  /** The messages in order of their bits, and the calls they come from. */
  messages: AcceptedMessage[];
  requests: Request[];
  bytes: number;
}

/** A set of a batch's messages is one non-negative bigint, so a batch has at most 63. */
export const MAX_BATCH_MESSAGES = 63;
/** A bigger message gets a batch of its own: reading one message must not mean reading megabytes. */
const MAX_BATCH_BYTES = 256 * 1024;

/** Merges the messages of each topic or queue, in order of arrival, into as few batches as the bounds allow. */
export function cutIntoBatches<
  Request extends { account: string; targetId: string; messages: readonly AcceptedMessage[] },
>(requests: readonly Request[]): BatchDraft<Request>[] {
  const batches: BatchDraft<Request>[] = [];
  const open = new Map<string, BatchDraft<Request>>();
  for (const request of requests) {
    const { account, targetId } = request;
    for (const message of request.messages) {
      let batch = open.get(targetId);
      if (!batch || !hasRoom(batch, message)) {
        batch = { account, targetId, messages: [], requests: [], bytes: 0 };
        open.set(targetId, batch);
        batches.push(batch);
      }
      batch.messages.push(message);
      batch.requests.push(request);
      batch.bytes += message.bytes;
    }
  }
  return batches;
}

function hasRoom(batch: BatchDraft<unknown>, message: AcceptedMessage): boolean {
  return (
    batch.messages.length < MAX_BATCH_MESSAGES && batch.bytes + message.bytes <= MAX_BATCH_BYTES
  );
}
