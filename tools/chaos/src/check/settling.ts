import type { Report } from "./anomaly.ts";
import { earliestDeadline } from "./receiving.ts";
import { grouped, type Indexed } from "./indexed.ts";
import type { Receive, Use } from "./receive.ts";
import { Spans } from "./spans.ts";

/** I-6, I-7: what is acknowledged is gone, and only who holds a message can say so. */
export function checkAcknowledgements(index: Indexed, report: Report): void {
  for (const [, byQueue] of index.received()) {
    for (const receive of [...byQueue.values()].flat()) {
      // Which of two receives with one handle was meant, nobody knows.
      if (!index.repeatedHandles.has(receive)) checkUses(index, receive, report);
    }
  }
}

function checkUses(index: Indexed, receive: Receive, report: Report): void {
  const { acknowledgements, changes } = receive;
  checkSecond(receive, acknowledgements, report);
  for (const use of acknowledgements) {
    if (use.outcome === "ok") checkAccepted(index, receive, use, report);
    else if (use.outcome === "refused") checkRefused(index, receive, use, report);
  }
  for (const use of changes) {
    if (use.outcome === "ok" && laterReceives(index, receive).some(({ end }) => end < use.begin))
      report("stale-change-accepted", where(receive));
  }
}

/** Two calls at once may both hear that it is done; one after the other may not. */
function checkSecond(receive: Receive, uses: readonly Use[], report: Report): void {
  const accepted = uses.filter(({ outcome }) => outcome === "ok");
  const first = Math.min(...accepted.map(({ end }) => end));
  if (accepted.some(({ begin }) => begin > first)) report("acknowledged-twice", where(receive));
}

function checkAccepted(index: Indexed, receive: Receive, use: Use, report: Report): void {
  const later = new Set(laterReceives(index, receive));
  for (const other of relatives(index, receive)) {
    if (other.handle === receive.handle) continue;
    if (later.has(other) && other.end < use.begin) report("stale-handle-accepted", where(receive));
    else if (later.has(other) || other.begin > use.end) report("resurrected", where(other));
  }
}

function checkRefused(index: Indexed, receive: Receive, use: Use, report: Report): void {
  if (use.code !== "receipt_handle_expired") return;
  // It may have been carried out at any time until it was answered.
  if (use.end >= earliestDeadline(index, receive, use.end)) return;
  const elsewhere = receive.acknowledgements.some(
    (other) => other !== use && other.outcome !== "refused" && other.begin < use.end,
  );
  const changed = receive.changes.some(
    ({ outcome, begin, timeout }) => outcome !== "refused" && begin < use.end && timeout === 0,
  );
  const purged = index.spans("purge", receive.queue).latestEnd(use.end) > receive.begin;
  if (!elsewhere && !changed && !purged) report("live-handle-refused", where(receive));
}

/** Receives of the same stay that came after it. */
function laterReceives(index: Indexed, receive: Receive): Receive[] {
  return index
    .receivesIn(receive.value, [receive.queue])
    .filter(
      ({ id, firstAt, count }) =>
        id === receive.id && firstAt === receive.firstAt && count > receive.count,
    );
}

/** Receives of the same delivery, wherever it went. */
function relatives(index: Indexed, receive: Receive): Receive[] {
  const { deadLetterQueue } = index.queues.get(receive.queue) ?? {};
  const queues = [
    receive.queue,
    ...(deadLetterQueue === undefined ? [] : [deadLetterQueue]),
    ...index.sources(receive.queue).map(({ name }) => name),
  ];
  return index.receivesIn(receive.value, queues);
}

function where({ value, queue, count }: Receive): string {
  return `${value} in ${queue}, receive ${count}`;
}

/** I-16: a purge leaves nothing of what was there; a cancelled message is never received. */
export function checkRemovals(index: Indexed, report: Report): void {
  const carriedOut = index.calls("purge").filter(({ outcome }) => outcome === "ok");
  for (const [queue, calls] of grouped(carriedOut, ({ request }) => request.queue)) {
    // In the dead-letter queue at that time, perhaps: a redrive brought it back.
    if (index.queues.get(queue)?.deadLetterQueue !== undefined) continue;
    const purges = new Spans(calls);
    for (const [value, byQueue] of index.received()) {
      const receives = byQueue.get(queue);
      if (receives === undefined) continue;
      const message = index.messages.get(value);
      const stored =
        message?.kindOfTarget === "queue" && message.target === queue
          ? message.acknowledged
          : Infinity;
      const there = Math.min(stored, ...receives.map(({ end }) => end));
      const last = Math.max(...receives.map(({ begin }) => begin));
      if (purges.earliestEnd(there) <= last) report("purge-survivor", `${value} in ${queue}`);
    }
  }
  checkCancellations(index, report);
}

function checkCancellations(index: Indexed, report: Report): void {
  const carriedOut = index.calls("cancel").filter(({ outcome }) => outcome === "ok");
  const queuesById = grouped(carriedOut, ({ request }) => request.id);
  for (const { value, ids } of index.sent()) {
    const queues = ids
      .flatMap((id) => queuesById.get(id) ?? [])
      .map(({ request }) => request.queue);
    for (const queue of queues) {
      if (index.receivesIn(value, [queue]).length > 0)
        report("cancelled-but-delivered", `${value} in ${queue}`);
    }
  }
}

/** A paused queue hands out nothing. */
export function checkPauses(index: Indexed, report: Report): void {
  const carriedOut = index.calls("pause").filter(({ outcome }) => outcome === "ok");
  for (const [queue, calls] of grouped(carriedOut, ({ request }) => request.queue)) {
    const resumes = index.spans("resume", queue);
    const pauses = new Spans(
      calls.map(({ begin, end }) => ({ begin: end, end: resumes.earliestBegin(begin) })),
    );
    for (const { begin, end, response } of index.effective("receive", queue)) {
      if (pauses.latestEnd(begin) > end && (response?.length ?? 0) > 0)
        report("delivered-while-paused", `${response?.[0]?.value} in ${queue}`);
    }
  }
}
