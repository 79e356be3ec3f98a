import type { FilterScope } from "@sluice/filter-policy";

import { invalidRequest } from "../errors.ts";

/** What can be set on a subscription. */
export interface SubscriptionSettings {
  /** SNS' own language, see docs/filters.md; null accepts everything. */
  filterPolicy: object | null;
  filterPolicyScope: FilterScope;
  /** Whether the queue gets messages as they are, or each inside the JSON of an SNS notification. */
  rawDelivery: boolean;
  /** Where deliveries go while the queue is deleted. Null: the subscription ends with the queue. */
  redrivePolicy: { deadLetterQueue: string } | null;
}

export const subscriptionDefaults: SubscriptionSettings = {
  filterPolicy: null,
  filterPolicyScope: "MessageAttributes",
  rawDelivery: true,
  redrivePolicy: null,
};

/** The settings with what is named changed. An empty policy is none: it accepts everything. */
export function mergedSettings(
  settings: SubscriptionSettings,
  { filterPolicy, filterPolicyScope, rawDelivery, redrivePolicy }: Partial<SubscriptionSettings>,
): SubscriptionSettings {
  const policy = filterPolicy === undefined ? settings.filterPolicy : filterPolicy;
  return {
    filterPolicy: policy !== null && Object.keys(policy).length === 0 ? null : policy,
    filterPolicyScope: filterPolicyScope ?? settings.filterPolicyScope,
    rawDelivery: rawDelivery ?? settings.rawDelivery,
    redrivePolicy: redrivePolicy === undefined ? settings.redrivePolicy : redrivePolicy,
  };
}

/**
 * A FIFO queue keeps the order of a FIFO topic; a standard topic has none to keep (AWS: a standard topic takes no FIFO
 * queues; a FIFO topic takes both).
 * @throws {SluiceError} `invalid_request`
 */
export function checkKinds(topic: string, queue: string): void {
  if (isFifo(queue) && !isFifo(topic)) {
    refuse(
      "queue",
      "a standard topic does not deliver to FIFO queues; subscribe it to a FIFO topic",
    );
  }
}

/** @throws {SluiceError} `invalid_request` when the queue cannot have its dead letters there */
export function checkDeadLetterQueue(
  queue: string,
  deadLetterQueue: string,
  exists: boolean,
): void {
  const path = "redrivePolicy.deadLetterQueue";
  if (!exists) refuse(path, `there is no queue "${deadLetterQueue}"; create it first`);
  if (queue === deadLetterQueue) refuse(path, "this is the subscribed queue; name another one");
  if (isFifo(queue) !== isFifo(deadLetterQueue)) {
    refuse(
      path,
      `the dead-letter queue of a ${isFifo(queue) ? "FIFO" : "standard"} queue is one as well`,
    );
  }
}

function isFifo(name: string): boolean {
  return name.endsWith(".fifo");
}

function refuse(path: string, message: string): never {
  throw invalidRequest(path, message);
}
