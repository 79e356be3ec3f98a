import type { Report } from "./anomaly.ts";
import { clockTolerance } from "./database-clock.ts";
import { push, type Indexed, type Stay } from "./indexed.ts";
import type { Receive, Use } from "./receive.ts";

const second = 1e9;

/** I-8, I-10: one holder at a time, and each receive counts one. */
export function checkStays(index: Indexed, report: Report): void {
  for (const [value, byQueue] of index.received()) {
    for (const [queue, receives] of byQueue) {
      const stays = index.stays(value, queue, receives);
      for (const stay of stays) {
        checkCounts(index, stay, report);
        checkHolders(index, stay, report);
        checkDelay(index, stay, report);
        checkRetention(index, stay, report);
      }
      checkReturns(index, stays, report);
    }
  }
  for (const { handle, value } of index.repeatedHandles)
    report("handle-twice", `${handle} of ${value}`);
}

function checkCounts(index: Indexed, stay: Stay, report: Report) {
  const { receives, queue, message, value, uncertain } = stay;
  const where = `${value} in ${queue.name}`;
  let unexplained = 0;
  for (const [position, receive] of receives.entries()) {
    const before = receives[position - 1];
    if (before?.count === receive.count)
      report("doubled-delivery", `${where}, receive ${receive.count}`);
    if (before !== undefined && receive.end < before.begin)
      report("count-jump", `${where}: ${receive.count} before ${before.count}`);
    const unseen = receive.count - (before?.count ?? 0) - 1;
    if (unseen <= 0) continue;
    const from = before
      ? earliestDeadline(index, before, receive.end)
      : (message?.begin ?? -Infinity);
    unexplained += Math.max(0, unseen - index.unseenReceives(queue.name, from, receive.end));
  }
  if (unexplained > uncertain)
    report("count-jump", `${where}: ${unexplained} receives that nobody made`);
}

function checkHolders(index: Indexed, { receives, queue, value }: Stay, report: Report): void {
  for (const [position, receive] of receives.entries()) {
    const next = receives[position + 1];
    if (next === undefined || next.count === receive.count) continue;
    const deadline = earliestDeadline(index, receive, next.end);
    if (next.end < deadline) {
      const early = ((deadline - next.end) / second).toFixed(3);
      report(
        "early-redelivery",
        `${value} in ${queue.name}: receive ${next.count} ${early} s early`,
      );
    }
  }
}

/** The earliest moment at which a receive can have lost its hold, as far as anybody can know `until` then. */
export function earliestDeadline(index: Indexed, receive: Receive, until: number): number {
  const sent = index.messages.get(receive.value)?.begin ?? -Infinity;
  const claimed = Math.max(
    receive.begin,
    sent,
    receive.count === 1 ? index.clock.earliest(receive.firstAt) - clockTolerance : -Infinity,
  );
  const changes = receive.changes.filter(
    ({ outcome, begin }) => outcome !== "refused" && begin < until,
  );
  const deadlineOf = ({ begin, timeout }: Use) => begin + timeout * second;
  let last: Use | undefined;
  for (const change of changes) {
    if (change.outcome === "ok" && (last === undefined || change.end > last.end)) last = change;
  }
  let deadline = last === undefined ? claimed + receive.timeout * second : deadlineOf(last);
  for (const change of changes) {
    // One that may have come after the last that is known for sure.
    if (last === undefined || change.end > last.begin)
      deadline = Math.min(deadline, deadlineOf(change));
  }
  return deadline - clockTolerance - index.clock.skipped(receive.begin, until);
}

/** The latest moment until which a receive can have hidden what it brought. */
export function latestDeadline(
  index: Indexed,
  { end, timeout, changes }: Pick<Receive, "end" | "timeout" | "changes">,
): number {
  const changed = changes
    .filter(({ outcome }) => outcome !== "refused")
    .map((change) => index.latestEffect(change) + change.timeout * second);
  return Math.max(end + timeout * second, ...changed);
}

function checkDelay(index: Indexed, { receives, queue, message, value }: Stay, report: Report) {
  const delay = message?.delay ?? queue.delay ?? 0;
  const isDeadLetters = index.sources(queue.name).length > 0;
  if (message === undefined || delay === 0 || isDeadLetters) return;
  for (const receive of receives) {
    // What a redrive brought back is delayed no second time.
    const isBack =
      index.clock.latest(receive.sentAt) > message.acknowledged + clockTolerance &&
      maySendAnew(index, receive);
    const skipped = index.clock.skipped(message.begin, receive.end);
    const repeated = index.clock.repeated(message.begin, receive.end) / 1e6;
    const tooEarly =
      receive.end < message.begin + delay * second - clockTolerance - skipped ||
      (!isBack && receive.firstAt - receive.sentAt < delay * 1_000 - 1 - repeated);
    if (tooEarly) report("early-delivery", `${value} in ${queue.name}, delay ${delay} s`);
  }
}

function checkRetention(index: Indexed, { receives, queue, value }: Stay, report: Report): void {
  if (queue.retention === undefined) return;
  for (const receive of receives) {
    const sent = index.clock.latest(receive.sentAt);
    const repeated = index.clock.repeated(sent, receive.begin);
    const expired = sent + queue.retention * second + repeated;
    if (receive.begin > expired + clockTolerance)
      report("after-retention", `${value} in ${queue.name}`);
  }
}

/** A redrive sends a message anew, and so does its way into the dead-letter queue of a FIFO queue. */
export function maySendAnew(index: Indexed, { queue, sentAt }: Receive): boolean {
  if (index.sources(queue).some(({ fifo }) => fifo)) return true;
  const from = index.clock.earliest(sentAt) - clockTolerance;
  const until = index.clock.latest(sentAt) + clockTolerance;
  return index.redrivenQueues(queue).some((one) => index.redrives(one).latestEnd(until) > from);
}

/** A second stay in one queue is one too many, but for messages that a redrive brought back. */
function checkReturns(index: Indexed, stays: readonly Stay[], report: Report): void {
  if (stays.length < 2) return;
  const byId = new Map<string | undefined, Stay[]>();
  for (const stay of stays) push(byId, stay.receives[0]?.id, stay);
  for (const list of byId.values()) {
    const { clock } = index;
    const firstOf = ({ receives }: Stay) => receives[0]?.firstAt ?? 0;
    list.sort((a, b) => clock.earliest(firstOf(a)) - clock.earliest(firstOf(b)));
    list.forEach((stay, position) => {
      const before = list[position - 1];
      if (before === undefined || mayHaveReturned(index, before, stay)) return;
      // Where the clock was put back nobody may know which of the two was first.
      const isFirst = clock.earliest(firstOf(stay)) > clock.latest(firstOf(before));
      if (isFirst || !mayHaveReturned(index, stay, before))
        report("doubled-delivery", `${stay.value} in ${stay.queue.name}: two stays`);
    });
  }
}

function mayHaveReturned(index: Indexed, before: Stay, stay: Stay): boolean {
  // It was still there when it was received for the last time, and back when it was received for the first time.
  const there = Math.max(...before.receives.map(({ begin }) => begin));
  const back = Math.min(...stay.receives.map(({ end }) => end));
  return index
    .redrivenQueues(stay.queue.name)
    .some((queue) => index.redrives(queue).latestEnd(back) > there);
}
