import type { CallOf, World } from "../history/history.ts";
import type { Report } from "./anomaly.ts";
import type { Indexed, Message, Receive } from "./indexed.ts";

/** I-1, I-2, I-19: every acknowledged message arrives, as what it was, where it should and nowhere else. */
export function checkArrivals(index: Indexed, report: Report): void {
  const lastArrival = lastArrivals(index);
  for (const message of index.messages.values()) {
    if (message.acknowledged === Infinity) continue;
    for (const queue of expectedQueues(index, message)) {
      const family = index.family(
        index.queues.get(queue) ?? { name: queue, visibilityTimeout: 30 },
      );
      if (index.receivesIn(message.value, family).length > 0) continue;
      if (isExcused(index, message, family)) continue;
      const later = (lastArrival.get(`${queue}/${message.client}`) ?? -Infinity) > message.begin;
      report(later ? "lost-middle" : "lost-tail", `${message.value} in ${queue}`);
    }
  }
}

/** What was received and not acknowledged is received again, until it is. */
export function checkEnds(index: Indexed, report: Report): void {
  for (const [value, byQueue] of index.receives) {
    const message = index.messages.get(value);
    if (message === undefined) continue;
    for (const name of byQueue.keys()) {
      const queue = index.queues.get(name);
      if (queue === undefined) continue;
      const families = [queue, ...sourcesOf(index, name)].flatMap((one) => index.family(one));
      const ended = index
        .receivesIn(value, families)
        .flatMap(({ handle }) => index.acknowledgements.get(handle) ?? [])
        .some(({ outcome }) => outcome !== "refused");
      if (ended || isExcused(index, message, families)) continue;
      report("vanished", `${value} in ${name}`);
    }
  }
}

/** What arrives was sent, is what was sent, and is there once. */
export function checkDeliveries(index: Indexed, report: Report): void {
  for (const [value, byQueue] of index.receives) {
    const message = index.messages.get(value);
    const all = [...byQueue.values()].flat();
    if (message === undefined) {
      report("phantom", `${value} in ${all[0]?.queue}`);
      continue;
    }
    if (!message.possible) report("refused-but-delivered", `${value} in ${all[0]?.queue}`);
    checkContent(message, all, report);
    for (const [name, receives] of byQueue) checkPlace(index, message, { name, receives }, report);
  }
}

/** Repeats with one key are one call. */
export function checkRepeats(index: Indexed, report: Report): void {
  for (const { value, ids } of index.messages.values()) {
    if (ids.size > 1) report("repeat-stored-twice", `${value}: ${[...ids].join(", ")}`);
  }
}

function checkContent(message: Message, receives: readonly Receive[], report: Report): void {
  const { value, digest, ids } = message;
  for (const receive of receives) {
    const where = `${value} in ${receive.queue}`;
    if (receive.digest !== digest) report("payload-changed", where);
    if (ids.size > 0 && !ids.has(receive.id)) report("identity-changed", where);
    if (receive.id === receives[0]?.id && receive.sentAt !== receives[0].sentAt)
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
  const sources = [name, ...sourcesOf(index, name).map((queue) => queue.name)];
  if (
    !receives.every((receive) =>
      sources.some((source) => mayReach(index, message, { source, receive })),
    )
  )
    report("unexpected-delivery", where);
  const { world } = index.history;
  const policy = world.subscriptions.find(
    ({ topic, queue }) => topic === message.target && sources.includes(queue),
  )?.kinds;
  if (policy !== undefined && !policy.includes(message.kind ?? "")) report("filter-leak", where);
  if (new Set(receives.map(({ id }) => id)).size > 1) report("doubled-delivery", where);
}

/** The queues whose dead letters go there. */
export function sourcesOf(index: Indexed, name: string) {
  return index.history.world.queues.filter((queue) => queue.deadLetterQueue === name);
}

function expectedQueues(index: Indexed, message: Message): string[] {
  if (message.kindOfTarget === "queue") return [message.target];
  const { world } = index.history;
  // Fan-out is atomic: whoever got the message shows that it had reached all others.
  const receives = [...(index.receives.get(message.value)?.values() ?? [])].flat();
  const fannedOut = Math.min(Infinity, ...receives.map(({ end }) => end));
  return subscribedQueues(index, message.target).filter((queue) => {
    const kinds = kindsOf(world, message.target, queue);
    if (kinds !== undefined && !kinds.includes(message.kind ?? "")) return false;
    const { subscribed, unsubscribed } = subscription(index, message.target, queue);
    return subscribed.some(
      (from) =>
        from.outcome === "ok" &&
        from.end < message.begin &&
        !unsubscribed.some((to) => to.end > from.begin && to.begin < fannedOut),
    );
  });
}

function kindsOf(world: World, topic: string, queue: string): readonly string[] | undefined {
  return world.subscriptions.find((one) => one.topic === topic && one.queue === queue)?.kinds;
}

function mayReach(
  index: Indexed,
  message: Message,
  { source, receive }: { source: string; receive: Receive },
): boolean {
  if (message.kindOfTarget === "queue") return message.target === source;
  const { subscribed, unsubscribed } = subscription(index, message.target, source);
  return subscribed.some(
    (from) =>
      from.begin < receive.end &&
      !unsubscribed.some(
        (to) => to.outcome === "ok" && to.begin >= from.end && to.end < message.begin,
      ),
  );
}

function subscribedQueues(index: Indexed, topic: string): string[] {
  const first = index.history.world.subscriptions.filter((one) => one.topic === topic);
  const later = index.calls("subscribe").filter(({ request }) => request.topic === topic);
  return [
    ...new Set([...first.map(({ queue }) => queue), ...later.map(({ request }) => request.queue)]),
  ];
}

type Moment = Pick<CallOf<"subscribe">, "begin" | "end" | "outcome">;

/** When a queue was subscribed and unsubscribed, as far as it had, or may have had, its effect. */
function subscription(
  index: Indexed,
  topic: string,
  queue: string,
): { subscribed: Moment[]; unsubscribed: Moment[] } {
  const isIt = ({ request, outcome }: CallOf<"subscribe"> | CallOf<"unsubscribe">) =>
    request.topic === topic && request.queue === queue && outcome !== "fail";
  const atFirst = index.history.world.subscriptions.some(
    (one) => one.topic === topic && one.queue === queue,
  );
  return {
    subscribed: [
      ...(atFirst ? [{ begin: -Infinity, end: -Infinity, outcome: "ok" as const }] : []),
      ...index.calls("subscribe").filter(isIt),
    ],
    unsubscribed: index.calls("unsubscribe").filter(isIt),
  };
}

/** A purge, or a cancellation, that may have met it. */
function isExcused(index: Indexed, message: Message, queues: readonly string[]): boolean {
  const purged = queues.some((queue) =>
    index.effective("purge", queue).some((purge) => purge.end > message.begin),
  );
  return (
    purged ||
    queues.some((queue) =>
      index.effective("cancel", queue).some(({ request }) => message.ids.has(request.id)),
    )
  );
}

/** For each queue and sender, when the last of its messages that arrived was sent. */
function lastArrivals(index: Indexed): Map<string, number> {
  const last = new Map<string, number>();
  for (const [value, byQueue] of index.receives) {
    const message = index.messages.get(value);
    if (message === undefined) continue;
    for (const queue of byQueue.keys()) {
      const key = `${queue}/${message.client}`;
      last.set(key, Math.max(last.get(key) ?? -Infinity, message.begin));
    }
  }
  return last;
}
