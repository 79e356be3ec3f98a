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
  const unseen = index.unknownReceives(name).begunBefore(firstLetter.end);
  if (new Set(before.map(({ count }) => count)).size + unseen < maxReceiveCount)
    report("dead-letter-early", `${value} of ${name}: after ${before.length} receives`);

  const sent = index.messages.get(value)?.begin ?? -Infinity;
  if (index.spans("redrive", deadLetterQueue).latestEnd() > sent) return;
  if (inQueue.some(({ begin }) => begin > firstLetter.end))
    report("in-both-queues", `${value} of ${name}`);
  for (const receive of before) {
    if (firstLetter.end < earliestDeadline(index, receive, firstLetter.end))
      report("dead-letter-while-held", `${value} of ${name}`);
  }
}
