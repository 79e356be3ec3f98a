import { compile, FilteredMessage, type Refusal } from "@sluice/filter-policy";

import type { ArchivedMessage } from "../archive/find-archived.ts";
import type { Page, PageRequest } from "../directory/pages.ts";
import { SluiceError } from "../errors.ts";
import { checkMessage, type MessageInput } from "../message/message.ts";
import type { Subscription, Subscriptions } from "../subscriptions/subscriptions.ts";

/** Whether a subscription would get a message. */
export interface Match {
  subscription: Subscription;
  /** The clause of the filter policy that refuses the message; undefined when it is accepted. */
  refusal: Refusal | undefined;
}

/**
 * Tries a message on the subscriptions of a topic, a page at a time, and publishes nothing.
 * @throws {SluiceError} `invalid_request` for a message that could not be published
 */
export async function match(
  subscriptions: Subscriptions,
  topic: { id: string; account: string; maxMessageSize: number },
  { message, ...request }: { message: MessageInput } & PageRequest,
): Promise<Page<Match>> {
  const refused = checkMessage(message, topic.maxMessageSize);
  if (refused) {
    throw new SluiceError("invalid_request", `message: ${refused.message}`, {
      details: [{ path: "message", message: refused.message }],
    });
  }
  const page = await subscriptions.list(topic.account, topic.id, request);
  const { body, attributes = {} } = message;
  const filtered = new FilteredMessage({ body, attributes });
  return { ...page, items: page.items.map((item) => matchOf(item, filtered)) };
}

/** An archived message with the subscriptions that would get it now. */
export interface ArchivedMatches {
  message: ArchivedMessage;
  matches: Match[];
}

/** Tries archived messages on the subscriptions of their topic, a page of subscriptions at a time. */
export async function matchArchived(
  subscriptions: Subscriptions,
  topic: { id: string; account: string },
  { messages, ...request }: { messages: readonly ArchivedMessage[] } & PageRequest,
): Promise<Page<ArchivedMatches>> {
  const page = await subscriptions.list(topic.account, topic.id, request);
  const items = messages.map((message) => {
    const filtered = new FilteredMessage(message);
    return { message, matches: page.items.map((item) => matchOf(item, filtered)) };
  });
  return { ...page, items };
}

function matchOf(subscription: Subscription, message: FilteredMessage): Match {
  const { filterPolicy, filterPolicyScope } = subscription;
  const refusal =
    filterPolicy === null ? undefined : compile(filterPolicy, filterPolicyScope).explain(message);
  return { subscription, refusal };
}
