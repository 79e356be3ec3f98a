import type { Report } from "./anomaly.ts";
import { earliestDeadline } from "./receiving.ts";
import type { Indexed } from "./indexed.ts";
import type { Receive } from "./receive.ts";
import type { QueueOfWorld } from "../history/history.ts";

/** I-14, I-15: what fails too often moves, whole and once, and comes back only by a redrive. */
export function checkDeadLetters(index: Indexed, report: Report): void {
  for (const queue of index.world.queues) {
    const { name, maxReceiveCount, deadLetterQueue } = queue;
    if (maxReceiveCount === undefined || deadLetterQueue === undefined) continue;
    for (const [value, byQueue] of index.received()) {
      const inQueue = byQueue.get(name) ?? [];
      if (inQueue.some(({ count }) => count > maxReceiveCount))
        report("dead-letter-missed", `${value} in ${name}`);
      const letters = byQueue.get(deadLetterQueue) ?? [];
      const message = index.messages.get(value);
      const own = inQueue.length > 0 || message?.target === name;
      if (letters.length > 0 && own) checkLetter(index, { queue, value, inQueue, letters }, report);
    }
  }
}

interface Letter {
  queue: QueueOfWorld;
  value: string;
  inQueue: readonly Receive[];
  letters: readonly Receive[];
}

function checkLetter(
  index: Indexed,
  { queue, value, inQueue, letters }: Letter,
  report: Report,
): void {
  const { name, maxReceiveCount = 0, deadLetterQueue = "" } = queue;
  const firstLetter = letters.reduce((first, one) => (one.end < first.end ? one : first));
  // Sent to the dead-letter queue itself.
  if (index.messages.get(value)?.target === deadLetterQueue) return;

  const before = inQueue.filter(({ begin }) => begin < firstLetter.end);
  const sent = index.messages.get(value)?.begin ?? -Infinity;
  const unseen = index.unseenReceives(name, sent, firstLetter.end);
  if (new Set(before.map(({ count }) => count)).size + unseen < maxReceiveCount)
    report("dead-letter-early", `${value} of ${name}: after ${before.length} receives`);

  const redrives = index.redrives(deadLetterQueue);
  const mayBeBack = ({ end }: Receive) => redrives.latestEnd(end) > firstLetter.begin;
  if (inQueue.some((receive) => receive.begin > firstLetter.end && !mayBeBack(receive)))
    report("in-both-queues", `${value} of ${name}`);
  for (const receive of before) {
    const isHeld = firstLetter.end < earliestDeadline(index, receive, firstLetter.end);
    if (isHeld && !mayBeBack(receive)) report("dead-letter-while-held", `${value} of ${name}`);
  }
}
