import {
  compile,
  FilteredMessage,
  type FilterableMessage,
  type Refusal,
} from "@sluice/filter-policy";

import type { ArchivedMessage } from "../archive/find-archived.ts";
import { cursorOf, DEFAULT_PAGE, type Page, type PageRequest } from "../directory/pages.ts";
import { invalidRequest, SluiceError } from "../errors.ts";
import { checkMessage, type MessageInput } from "../message/message.ts";
import type { GoneSignal } from "../receive/gone-signal.ts";
import type { Subscription } from "../subscriptions/subscription-rows.ts";
import type { Subscriptions } from "../subscriptions/subscriptions.ts";
import { turn, UNTIMED } from "../turn.ts";

/** Whether a subscription would get a message. */
export interface Match {
  subscription: Subscription;
  /** The clause of the filter policy that refuses the message; undefined when it is accepted. */
  refusal: Refusal | undefined;
}

export interface MatchRequest extends Pick<PageRequest, "cursor" | "limit"> {
  /** Aborted when nobody waits for the answer any more. */
  gone?: Pick<GoneSignal, "aborted"> | undefined;
}

/** After so many ms a page ends, whatever was asked for. */
const MAX_TIME = 1_000;
/** After so many it is given up, if there is no subscription that it could show. */
const MAX_TIME_OF_ONE = 5_000;
/** Messages times subscriptions of a page: each may have a refusal of some hundred bytes. */
const MAX_MATCHES = 20_000;
/** Subscriptions that are read at once: a policy has up to 256 KiB. */
const READ_AT_ONCE = 50;

/**
 * Tries a message on the subscriptions of a topic, a page at a time, and publishes nothing.
 * @throws {SluiceError} `invalid_request` for a message that could not be published
 */
export async function match(
  subscriptions: Subscriptions,
  topic: { id: string; account: string; maxMessageSize: number },
  { message, ...request }: { message: MessageInput } & MatchRequest,
): Promise<Page<Match>> {
  const refused = checkMessage(message, topic.maxMessageSize);
  if (refused) throw invalidRequest("message", refused.message);
  const { body, attributes = {} } = message;
  const tried = await tryOn(subscriptions, topic, {
    ...request,
    messages: [triedMessage({ body, attributes })],
  });
  const items = tried.items.map(({ subscription, refusals: [refusal] }) => ({
    subscription,
    refusal,
  }));
  return { ...tried, items };
}

/** An archived message with the subscriptions that would get it now. */
export interface ArchivedMatches {
  message: ArchivedMessage;
  matches: Match[];
}

/**
 * Tries archived messages on the subscriptions of their topic, a page of subscriptions at a time.
 * @throws {SluiceError} `too_many_requests` when that takes too long even for one subscription
 */
export async function matchArchived(
  subscriptions: Subscriptions,
  topic: { id: string; account: string },
  { messages, ...request }: { messages: readonly ArchivedMessage[] } & MatchRequest,
): Promise<Page<ArchivedMatches>> {
  const tried = await tryOn(subscriptions, topic, {
    ...request,
    messages: messages.map(triedMessage),
  });
  const items = messages.map((message, index) => ({
    message,
    matches: tried.items.map(({ subscription, refusals }) => ({
      subscription,
      refusal: refusals[index],
    })),
  }));
  return { ...tried, items };
}

interface TriedMessage {
  message: FilteredMessage;
  /** Of what policies look at. */
  length: number;
}

function triedMessage(message: FilterableMessage): TriedMessage {
  const values = Object.values(message.attributes).map(({ value }) => value.length);
  const length = values.reduce((sum, each) => sum + each, message.body.length);
  return { message: new FilteredMessage(message), length };
}

/** A subscription with the refusal of each message, undefined where it is accepted. */
interface Tried {
  subscription: Subscription;
  refusals: (Refusal | undefined)[];
}

/** Other work of the process goes on meanwhile; a page that takes long ends early. */
async function tryOn(
  subscriptions: Subscriptions,
  topic: { id: string; account: string },
  request: { messages: readonly TriedMessage[] } & MatchRequest,
): Promise<Page<Tried>> {
  const { messages, limit = DEFAULT_PAGE, gone } = request;
  const most = Math.min(limit, Math.ceil(MAX_MATCHES / Math.max(1, messages.length)));
  let start = performance.now();
  const items: Tried[] = [];
  const isEnough = () =>
    performance.now() - start >= (items.length > 0 ? MAX_TIME : MAX_TIME_OF_ONE) ||
    gone?.aborted === true;
  let { cursor } = request;
  do {
    const page = await subscriptions.list(topic.account, topic.id, {
      cursor,
      limit: Math.min(most - items.length, READ_AT_ONCE),
    });
    // Lists are read in turns: how long the first one waited for its own says nothing of the policies.
    if (items.length === 0) start = performance.now();
    for (const subscription of page.items) {
      const refusals = await refusalsOf(subscription, messages, {
        account: topic.account,
        isEnough,
      });
      if (!refusals) return { items, nextCursor: cursorOf(lastOf(items).subscription.id) };
      items.push({ subscription, refusals });
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined && items.length < most);
  return cursor === undefined ? { items } : { items, nextCursor: cursor };
}

/** Undefined when it was given up. */
async function refusalsOf(
  { filterPolicy, filterPolicyScope }: Subscription,
  messages: readonly TriedMessage[],
  { account, isEnough }: { account: string; isEnough: () => boolean },
): Promise<Tried["refusals"] | undefined> {
  if (turn.isOver()) await turn.next(account);
  if (isEnough()) return undefined;
  if (filterPolicy === null) return messages.map(() => undefined);
  const filter = compile(filterPolicy, filterPolicyScope);
  const refusals: Tried["refusals"] = [];
  for (const { message, length } of messages) {
    if (turn.isOver(length)) {
      await turn.next(account);
      if (isEnough()) return undefined;
    }
    if (length < UNTIMED) {
      refusals.push(filter.explain(message));
      continue;
    }
    const refusal = await turn.through(filter.explainInSteps(message), { account, isEnough });
    if (!refusal) return undefined;
    refusals.push(refusal.result);
  }
  return refusals;
}

function lastOf(items: readonly Tried[]): Tried {
  const last = items.at(-1);
  if (last) return last;
  throw new SluiceError(
    "too_many_requests",
    `the filter policies take more than ${MAX_TIME_OF_ONE / 1_000} s for these messages; try fewer of them, or later`,
  );
}
