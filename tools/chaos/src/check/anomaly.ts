/** Every way in which a history can break a promise. The text says which; the number is that of the invariant. */
export const anomalies = {
  "lost-middle": "acknowledged, never delivered, though later messages of its sender were",
  "lost-tail": "acknowledged, never delivered, and nothing later of its sender was",
  vanished: "delivered, never acknowledged, and gone",
  "unexpected-delivery": "delivered to a queue that was not subscribed",
  "filter-leak": "delivered though the filter policy of the subscription refuses it",
  phantom: "delivered, and nobody sent it",
  "refused-but-delivered": "delivered though each attempt to send it was refused",
  "payload-changed": "body or attributes are not what was sent",
  "identity-changed": "the id is not the one that its sender was answered",
  "sent-time-changed": "the sent time differs from receive to receive",
  "repeat-stored-twice": "a call and its repeat were answered different ids",
  "doubled-delivery": "two deliveries of one message in one queue",
  "handle-twice": "one receipt handle for two receives",
  "early-redelivery": "received again while a receive still held it",
  "count-jump": "the receive count skips receives that nobody made, or goes back",
  resurrected: "received after it was acknowledged",
  "stale-handle-accepted": "a handle acknowledged what somebody else had received since",
  "stale-change-accepted":
    "a handle changed the visibility of what somebody else had received since",
  "live-handle-refused":
    "the handle of the only receive there was is refused inside its visibility timeout",
  "acknowledged-twice": "acknowledging again what was gone is answered with success",
  "early-delivery": "received before its delay had passed",
  "late-delivery": "received long after there was nothing in the way of that",
  "after-retention": "received after its retention had passed",
  "dead-letter-early": "in the dead-letter queue before it had been received often enough",
  "dead-letter-missed": "received more often than the queue allows",
  "in-both-queues":
    "received from its queue after it went to the dead-letter queue, without a redrive",
  "dead-letter-while-held": "in the dead-letter queue while a receive still held it",
  "purge-survivor": "received after a purge that it was there for",
  "cancelled-but-delivered": "received after it was cancelled",
  "delivered-while-paused": "received from a paused queue",
  "fifo-overtaken": "received while an earlier message of its group was still there",
  "fifo-swapped": "messages of one group in the wrong order in one answer",
  "fifo-order": "the sequence numbers of a group contradict the order of the sends",
  "deduplication-missed": "two messages with one deduplication id inside the window",
  "let-in": "answered without an access key that is in use",
  "good-key-refused": "refused though its access key is in use",
  // Of the database, when everything has come to rest.
  undrained: "messages rest that no receive brings",
  orphan: "a slice without its payload, or with bits that its payload does not have",
  overlap: "two slices of one queue with the same message",
  "not-fanned-out": "batches wait in the outbox",
  ledger: "what went into a queue is not what came out",
  counts: "the counts of a queue are not those of its rows",
  // Of the processes.
  "process-died": "a process ended that nobody had killed",
  "request-failed": "a request failed for a reason that no fault is: answered 500, and logged",
  "not-ready": "the service did not come back after the last fault",
} as const;

export type AnomalyName = keyof typeof anomalies;

export interface Anomaly {
  name: AnomalyName;
  /** What exactly: which message, in which queue. */
  what: string;
}

export type Report = (name: AnomalyName, what: string) => void;
