import type { Report } from "./anomaly.ts";
import { sourcesOf } from "./sending.ts";
import { earliestDeadline } from "./receiving.ts";
import type { Indexed, Receive, Use } from "./indexed.ts";

/** I-6, I-7: what is acknowledged is gone, and only who holds a message can say so. */
export function checkAcknowledgements(index: Indexed, report: Report): void {
  for (const [handle, uses] of index.acknowledgements) {
    const receive = index.byHandle.get(handle)?.[0];
    if (receive === undefined) continue;
    checkSecond(receive, uses, report);
    for (const use of uses) {
      if (use.outcome === "ok") checkAccepted(index, receive, use, report);
      else if (use.outcome === "refused") checkRefused(index, receive, use, report);
    }
  }
  for (const [handle, uses] of index.changes) {
    const receive = index.byHandle.get(handle)?.[0];
    if (receive === undefined) continue;
    for (const use of uses) {
      if (use.outcome === "ok" && laterReceives(index, receive).some(({ end }) => end < use.begin))
        report("stale-change-accepted", where(receive));
    }
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
  const elsewhere = (index.acknowledgements.get(receive.handle) ?? []).some(
    (other) => other !== use && other.outcome !== "refused" && other.begin < use.end,
  );
  const changed = (index.changes.get(receive.handle) ?? []).some(
    ({ outcome, begin, timeout }) => outcome !== "refused" && begin < use.end && timeout === 0,
  );
  const purged = index
    .effective("purge", receive.queue)
    .some((purge) => purge.begin < use.end && purge.end > receive.begin);
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
    ...sourcesOf(index, receive.queue).map(({ name }) => name),
  ];
  return index.receivesIn(receive.value, queues);
}

function where({ value, queue, count }: Receive): string {
  return `${value} in ${queue}, receive ${count}`;
}

/** I-16: a purge leaves nothing of what was there; a cancelled message is never received. */
export function checkRemovals(index: Indexed, report: Report): void {
  for (const purge of index.calls("purge")) {
    if (purge.outcome !== "ok") continue;
    const { queue } = purge.request;
    for (const [value, byQueue] of index.receives) {
      const receives = byQueue.get(queue) ?? [];
      if (receives.every(({ begin }) => begin < purge.end)) continue;
      const message = index.messages.get(value);
      const sentBefore =
        message?.kindOfTarget === "queue" &&
        message.target === queue &&
        message.acknowledged < purge.begin;
      const seenBefore = receives.some(({ end }) => end < purge.begin);
      if (!sentBefore && !seenBefore) continue;
      // In the dead-letter queue at that time, perhaps: a redrive brought it back.
      if (index.queues.get(queue)?.deadLetterQueue !== undefined) continue;
      report("purge-survivor", `${value} in ${queue}`);
    }
  }
  for (const cancel of index.calls("cancel")) {
    const value = index.byId.get(cancel.request.id)?.value;
    if (cancel.outcome !== "ok" || value === undefined) continue;
    if (index.receivesIn(value, [cancel.request.queue]).length > 0)
      report("cancelled-but-delivered", `${value} in ${cancel.request.queue}`);
  }
}

/** A paused queue hands out nothing. */
export function checkPauses(index: Indexed, report: Report): void {
  for (const pause of index.calls("pause")) {
    if (pause.outcome !== "ok") continue;
    const { queue } = pause.request;
    const resumed = Math.min(
      Infinity,
      ...index
        .effective("resume", queue)
        .filter(({ end }) => end > pause.begin)
        .map(({ begin }) => begin),
    );
    for (const { begin, end, response } of index.effective("receive", queue)) {
      if (begin > pause.end && end < resumed && (response?.length ?? 0) > 0)
        report("delivered-while-paused", `${response?.[0]?.value} in ${queue}`);
    }
  }
}
