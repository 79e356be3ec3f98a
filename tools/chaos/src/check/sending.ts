import type { Report } from "./anomaly.ts";
import type { Indexed, Message } from "./indexed.ts";
import type { Receive } from "./receive.ts";
import { latestDeadline, maySendAnew } from "./receiving.ts";

/** I-1, I-2, I-19: every acknowledged message arrives, as what it was, where it should and nowhere else. */
export function checkArrivals(index: Indexed, report: Report): void {
  const lastArrival = lastArrivals(index);
  for (const message of index.sent()) {
    if (message.acknowledged === Infinity) continue;
    for (const queue of expectedQueues(index, message)) {
      const family = index.family(
        index.queues.get(queue) ?? { name: queue, visibilityTimeout: 30 },
      );
      if (index.receivesIn(message.value, family).length > 0) continue;
      if (isExcused(index, message, family, dueBy(index, message))) continue;
      const later = (lastArrival.get(`${queue}/${message.client}`) ?? -Infinity) > message.begin;
      report(later ? "lost-middle" : "lost-tail", `${message.value} in ${queue}`);
    }
  }
}

/** What was received and not acknowledged is received again, until it is. */
export function checkEnds(index: Indexed, report: Report): void {
  for (const [value, byQueue] of index.received()) {
    const message = index.messages.get(value);
    if (message === undefined) continue;
    for (const name of byQueue.keys()) {
      const queue = index.queues.get(name);
      if (queue === undefined) continue;
      const families = [queue, ...index.sources(name)].flatMap((one) => index.family(one));
      const receives = index.receivesIn(value, families);
      const ended = receives
        .flatMap(({ acknowledgements }) => acknowledgements)
        .some(({ outcome }) => outcome !== "refused");
      if (ended) continue;
      const hidden = Math.max(...receives.map((receive) => latestDeadline(index, receive)));
      if (isExcused(index, message, families, index.calm.dueAfter(hidden, UNSEEN))) continue;
      report("vanished", `${value} in ${name}`);
    }
  }
}

/** What arrives was sent, is what was sent, and is there once. */
export function checkDeliveries(index: Indexed, report: Report): void {
  for (const [value, byQueue] of index.received()) {
    const message = index.messages.get(value);
    const all = [...byQueue.values()].flat();
    if (message === undefined) {
      report("phantom", `${value} in ${all[0]?.queue}`);
      continue;
    }
    if (!message.possible) report("refused-but-delivered", `${value} in ${all[0]?.queue}`);
    checkContent(index, message, all, report);
    for (const [name, receives] of byQueue) checkPlace(index, message, { name, receives }, report);
  }
}

/** Repeats with one key are one call. */
export function checkRepeats(index: Indexed, report: Report): void {
  for (const { value, ids } of index.messages.values()) {
    if (ids.length > 1) report("repeat-stored-twice", `${value}: ${ids.join(", ")}`);
  }
}

function checkContent(
  index: Indexed,
  message: Message,
  receives: readonly Receive[],
  report: Report,
): void {
  const { value, digest, ids } = message;
  const ofFirst = receives.filter(({ id }) => id === receives[0]?.id);
  const sentAt = Math.min(...ofFirst.map((receive) => receive.sentAt));
  for (const receive of receives) {
    const where = `${value} in ${receive.queue}`;
    if (receive.digest !== digest) report("payload-changed", where);
    if (ids.length > 0 && !ids.includes(receive.id)) report("identity-changed", where);
    if (receive.id === receives[0]?.id && receive.sentAt !== sentAt && !maySendAnew(index, receive))
      report("sent-time-changed", where);
  }
}

function checkPlace(
  index: Indexed,
  message: Message,
  { name, receives }: { name: string; receives: readonly Receive[] },
  report: Report,
): void {
  const where = `${message.value} in ${name}`;
  const sources = [name, ...index.sources(name).map((queue) => queue.name)];
  if (
    !receives.every((receive) =>
      sources.some((source) => mayReach(index, message, { source, receive })),
    )
  )
    report("unexpected-delivery", where);
  const policies = sources.flatMap((source) => index.policy(message.target, source) ?? []);
  const { kind = "", begin } = message;
  const fannedOut = fannedOutBy(index, message);
  if (policies.length > 0 && !policies.some((one) => one.mayAccept(kind, begin, fannedOut)))
    report("filter-leak", where);
  if (new Set(receives.map(({ id }) => id)).size > 1) report("doubled-delivery", where);
}

function expectedQueues(index: Indexed, message: Message): string[] {
  if (message.kindOfTarget === "queue") return [message.target];
  const { target, kind = "", begin } = message;
  const fannedOut = fannedOutBy(index, message);
  return index.subscribedQueues(target).filter((queue) => {
    const accepts = index.policy(target, queue)?.mustAccept(kind, begin, fannedOut) ?? true;
    return accepts && index.subscription(target, queue).mustBring(begin, fannedOut);
  });
}

/** Fan-out is atomic: whoever got the message shows that it had reached all others. */
function fannedOutBy(index: Indexed, { value, acknowledged }: Message): number {
  const receives = index.receives.get(value) ?? [];
  return Math.min(index.calm.dueAfter(acknowledged), ...receives.map(({ end }) => end));
}

function mayReach(
  index: Indexed,
  message: Message,
  { source, receive }: { source: string; receive: Receive },
): boolean {
  if (message.kindOfTarget === "queue") return message.target === source;
  return index.subscription(message.target, source).mayBring(message.begin, receive.end);
}

/**
 * Of what nobody has ever received nobody knows how often it was received by somebody whose answer was lost, and hidden
 * for that: seldom twice.
 */
const UNSEEN = 3;

/** When a message has been received in each queue at the latest. */
function dueBy(index: Indexed, { acknowledged, delay = 0 }: Message): number {
  return index.calm.dueAfter(acknowledged + delay * 1e9, UNSEEN);
}

/** A purge that began before a moment, or a cancellation, that may have met it. */
function isExcused(
  index: Indexed,
  message: Message,
  queues: readonly string[],
  until = Infinity,
): boolean {
  return queues.some(
    (queue) =>
      index.spans("purge", queue).latestEnd(until) > message.begin ||
      message.ids.some((id) => index.cancelled(queue).has(id)),
  );
}

/** For each queue and sender, when the last of its messages that arrived was sent. */
function lastArrivals(index: Indexed): Map<string, number> {
  const last = new Map<string, number>();
  for (const [value, byQueue] of index.received()) {
    const message = index.messages.get(value);
    if (message === undefined) continue;
    for (const queue of byQueue.keys()) {
      const key = `${queue}/${message.client}`;
      last.set(key, Math.max(last.get(key) ?? -Infinity, message.begin));
    }
  }
  return last;
}
