import type { Report } from "./anomaly.ts";
import type { Indexed, Message } from "./indexed.ts";
import type { Receive } from "./receive.ts";
import { latestDeadline } from "./receiving.ts";
import type { QueueOfWorld } from "../history/history.ts";

const second = 1e9;

/**
 * I-9: whoever asks gets what is visible, also when somebody has received it whose answer was lost: that hides it for
 * its visibility timeout.
 */
export function checkWaits(index: Indexed, report: Report): void {
  const asked = new Map(
    index.world.queues.filter((queue) => isAsked(index, queue)).map((queue) => [queue.name, queue]),
  );
  for (const [value, byQueue] of index.received()) {
    const message = index.messages.get(value);
    for (const [name, receives] of byQueue) {
      const queue = asked.get(name);
      if (queue !== undefined && message !== undefined)
        checkWait(index, { queue, message, receives }, report);
    }
  }
}

/**
 * Whether its consumers take what there is at any time. A paused queue has none for them, the first of a group is in
 * the way of the others, and dead letters are left for a redrive.
 */
function isAsked(index: Indexed, { name, fifo = false }: QueueOfWorld): boolean {
  return !fifo && index.effective("pause", name).length === 0 && index.sources(name).length === 0;
}

function checkWait(
  index: Indexed,
  { queue, message, receives }: { queue: QueueOfWorld; message: Message; receives: Receive[] },
  report: Report,
): void {
  // Where it may have come back from the dead letters, only a receive before in the same stay says since when it waits.
  const mayReturn = queue.deadLetterQueue !== undefined;
  const stored = message.acknowledged + (message.delay ?? queue.delay ?? 0) * second;
  let visible = mayReturn ? Infinity : stored;
  const stays = new Set<number>();
  for (const receive of receives.toSorted((a, b) => a.begin - b.begin)) {
    const since = mayReturn && !stays.has(receive.firstAt) ? Infinity : visible;
    const late = receive.begin - index.calm.dueAfter(since, receive.count);
    if (late > 0) {
      const seconds = ((receive.begin - since) / second).toFixed(1);
      report("late-delivery", `${message.value} in ${queue.name}, after ${seconds} s`);
    }
    stays.add(receive.firstAt);
    const hidden = latestDeadline(index, receive);
    visible = visible === Infinity ? hidden : Math.max(visible, hidden);
  }
}
