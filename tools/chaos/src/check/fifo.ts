import type { Report } from "./anomaly.ts";
import { push, type Indexed, type Message } from "./indexed.ts";
import type { Receive } from "./receive.ts";

/** How far back a message is compared with those before it: further back all are gone, or it shows at those between. */
const WINDOW = 64;
/** Seconds. */
const DEDUPLICATION_WINDOW = 300;

/** I-11, I-12, I-13: order in a group, and one message for one deduplication id. */
export function checkFifo(index: Indexed, report: Report): void {
  for (const queue of index.world.queues) {
    if (queue.fifo !== true) continue;
    for (const group of groupsOf(index, queue.name).values()) {
      group.sort((a, b) => (a.sequence < b.sequence ? -1 : 1));
      const asSent = group.filter((member) => !mayHaveComeBack(index, member, queue));
      for (const kind of ["topic", "queue"] as const) {
        const own = asSent.filter(({ message }) => message.kindOfTarget === kind);
        checkOrderOfSends(own, queue.name, report);
      }
      checkOvertaking(index, group, queue.name, report);
    }
    checkAnswers(index, queue.name, report);
  }
  checkDeduplication(index, report);
}

/** A message of a group, with its receives in one queue. */
interface Member {
  message: Message;
  sequence: string;
  receives: Receive[];
}

function groupsOf(index: Indexed, queue: string): Map<string, Member[]> {
  const groups = new Map<string, Member[]>();
  for (const [value, byQueue] of index.received()) {
    const receives = byQueue.get(queue);
    const message = index.messages.get(value);
    const { sequence, group } = receives?.[0] ?? {};
    if (!receives || !message || sequence === undefined || group === undefined) continue;
    push(groups, group, { message, sequence, receives });
  }
  return groups;
}

/**
 * A message that was acknowledged before another was sent comes before it. Of one way only: what is published to a
 * topic is in the queue once it is fanned out, and what was sent to the queue itself may get there first.
 */
function checkOrderOfSends(group: readonly Member[], queue: string, report: Report): void {
  let latest: Message | undefined;
  for (const { message } of group) {
    if (latest !== undefined && message.acknowledged < latest.begin)
      report("fifo-order", `${message.value} after ${latest.value} in ${queue}`);
    if (latest === undefined || message.begin > latest.begin) latest = message;
  }
}

/**
 * Whether the first receive that is known may be one after a redrive: what comes back from the dead letters goes to the
 * end of its group, with a new number. The receives before it were then among those whose answer was lost.
 */
function mayHaveComeBack(
  index: Indexed,
  { message, receives }: Member,
  { deadLetterQueue }: { deadLetterQueue?: string | undefined },
): boolean {
  if (deadLetterQueue === undefined) return false;
  const known = Math.min(...receives.map(({ end }) => end));
  return index.redrives(deadLetterQueue).latestEnd(known) > message.begin;
}

function checkOvertaking(
  index: Indexed,
  group: readonly Member[],
  queue: string,
  report: Report,
): void {
  const ends = group.map((member) => earliestEnd(index, member, queue));
  group.forEach((later, position) => {
    const from = Math.max(0, position - WINDOW);
    for (const [before, earlier] of group.slice(from, position).entries()) {
      const gone = ends[from + before] as number;
      const overtaken = later.receives.some(
        (receive) =>
          receive.end < gone &&
          !earlier.receives.some(
            ({ call, position: place }) => call === receive.call && place < receive.position,
          ),
      );
      if (overtaken)
        report("fifo-overtaken", `${earlier.message.value} by ${later.message.value} in ${queue}`);
    }
  });
}

/** The earliest moment at which a message can have left the queue. */
function earliestEnd(index: Indexed, { receives, message }: Member, queue: string): number {
  const acknowledged = receives
    .flatMap(({ acknowledgements }) => acknowledgements)
    .filter(({ outcome }) => outcome !== "refused")
    .map(({ begin }) => begin);
  const purged = index.spans("purge", queue).earliestBegin(message.begin);
  const { deadLetterQueue } = index.queues.get(queue) ?? {};
  const dead =
    deadLetterQueue !== undefined && index.receivesIn(message.value, [deadLetterQueue]).length > 0
      ? [Math.max(...receives.map(({ begin }) => begin))]
      : [];
  return Math.min(purged, ...acknowledged, ...dead);
}

function checkAnswers(index: Indexed, queue: string, report: Report): void {
  for (const { response } of index.effective("receive", queue)) {
    const last = new Map<string, string>();
    for (const { group = "", sequence = "", value } of response ?? []) {
      if (sequence < (last.get(group) ?? "")) report("fifo-swapped", `${value} in ${queue}`);
      last.set(group, sequence);
    }
  }
}

function checkDeduplication(index: Indexed, report: Report): void {
  const byId = new Map<string, Message[]>();
  for (const message of index.messages.values()) {
    if (message.deduplicationId === undefined || message.ids.length === 0) continue;
    const key = `${message.kindOfTarget} ${message.target}/${message.deduplicationId}`;
    push(byId, key, message);
  }
  for (const [key, messages] of byId) {
    messages.sort((a, b) => a.begin - b.begin);
    messages.forEach((message, position) => {
      const before = messages[position - 1];
      if (before === undefined) return;
      const skipped = index.clock.skipped(before.begin, message.acknowledged);
      const inside = message.acknowledged - before.begin < DEDUPLICATION_WINDOW * 1e9 - skipped;
      if (inside && !message.ids.some((id) => before.ids.includes(id)))
        report("deduplication-missed", key);
    });
  }
}
