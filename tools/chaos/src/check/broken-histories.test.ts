import { describe, expect, test } from "vitest";
import type { AnomalyName } from "./anomaly.ts";
import { check } from "./check.ts";
import { at, filtered, toBlue, twoStays } from "./stories.ts";
import { Story } from "./story.ts";

/** Names of what the checker has against a story, each once. */
function found(story: Story): AnomalyName[] {
  return [...new Set(check(story.history).map(({ name }) => name))].sort();
}

const fifoWorld = {
  topics: [],
  queues: [{ name: "queue.fifo", fifo: true, visibilityTimeout: 5 }],
  subscriptions: [],
};
const fifo = () => new Story(fifoWorld);
const inGroup = (value: string, sequence: string, more = {}) => ({
  value,
  sequence,
  group: "g",
  ...more,
});

/** What is wrong, and the history that is wrong in that way and in no other. */
const broken: [AnomalyName, string, () => Story][] = [
  [
    "lost-middle",
    "a publish that one queue never gets",
    () =>
      new Story()
        .publish(at(1), "a")
        .publish(at(2), "b")
        .take(at(3), "queue", "a", "b")
        .take(at(3), "other", "b"),
  ],
  [
    "lost-tail",
    "the last publish is nowhere",
    () =>
      new Story()
        .publish(at(1), "a")
        .publish(at(2), "b")
        .take(at(3), "queue", "a")
        .take(at(3), "other", "a"),
  ],
  ["lost-tail", "a send that never comes", () => new Story().send(at(1), "queue", "a")],
  [
    "lost-tail",
    "a message of a call that did not know its first outcome, and then did",
    () => {
      const story = new Story();
      const messages = [{ value: "a", digest: "digest of a" }];
      story.call("send", at(1), { queue: "queue", key: "k", messages }, "unknown");
      return story.call("send", at(2), { queue: "queue", key: "k", messages }, [{ id: "id of a" }]);
    },
  ],
  [
    "vanished",
    "received once, left to come back, and gone",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      story.receive(at(2), "queue", "a");
      return story;
    },
  ],
  [
    "vanished",
    "a refused acknowledgement is the last that is heard of a message",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const handles = story.receive(at(2), "queue", "a");
      return story.acknowledge(at(9), "queue", handles, "receipt_handle_expired");
    },
  ],
  [
    "unexpected-delivery",
    "a queue that is not subscribed gets a publish",
    () =>
      new Story({ subscriptions: [{ topic: "topic", queue: "queue" }] })
        .publish(at(1), "a")
        .take(at(2), "queue", "a")
        .take(at(2), "other", "a"),
  ],
  [
    "unexpected-delivery",
    "a publish reaches a queue that was unsubscribed before",
    () =>
      new Story()
        .call("unsubscribe", at(1), { topic: "topic", queue: "other" }, null)
        .publish(at(2), "a")
        .take(at(3), "queue", "a")
        .take(at(3), "other", "a"),
  ],
  [
    "unexpected-delivery",
    "a send turns up in another queue",
    () => new Story().send(at(1), "queue", "a").take(at(2), "queue", "a").take(at(2), "other", "a"),
  ],
  [
    "filter-leak",
    "a message that the policy refuses",
    () =>
      new Story({ subscriptions: [{ topic: "topic", queue: "queue", kinds: ["red"] }] })
        .publish(at(1), { value: "a", kind: "blue" })
        .take(at(2), "queue", "a"),
  ],
  ["phantom", "a message out of nowhere", () => new Story().take(at(1), "queue", "a")],
  [
    "refused-but-delivered",
    "a message whose send was refused",
    () => {
      const story = new Story();
      const messages = [{ value: "a", digest: "digest of a" }];
      story.call("send", at(1), { queue: "queue", messages }, [{ code: "invalid_message" }]);
      return story.take(at(2), "queue", "a");
    },
  ],
  [
    "payload-changed",
    "another body",
    () =>
      new Story().send(at(1), "queue", "a").take(at(2), "queue", { value: "a", digest: "other" }),
  ],
  [
    "identity-changed",
    "another id than the sender was answered",
    () => new Story().send(at(1), "queue", "a").take(at(2), "queue", { value: "a", id: "other" }),
  ],
  [
    "sent-time-changed",
    "a sent time that moves",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      return story.take(at(8), "queue", { value: "a", count: 2, firstAt: 2_000, sentAt: 5 });
    },
  ],
  [
    "sent-time-changed",
    "a sent time of before the redrive that moved the message",
    () => {
      const story = new Story().send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      story.call("receive", at(9), { queue: "retry" }, "unknown");
      story.receive(at(20), "dead", { value: "a", firstAt: 20_000 });
      story.call("redrive", at(21), { queue: "dead" }, null);
      return story.take(at(30), "retry", { value: "a", firstAt: 30_000, sentAt: 15_000 });
    },
  ],
  [
    "repeat-stored-twice",
    "a repeat with the same key that is stored again",
    () => {
      const story = new Story();
      const messages = [{ value: "a", digest: "digest of a" }];
      for (const id of ["id of a", "another id"])
        story.call("send", at(1), { queue: "queue", key: "k", messages }, [{ id }]);
      return story.take(at(2), "queue", "a");
    },
  ],
  [
    "doubled-delivery",
    "a fan-out that is done twice",
    () =>
      new Story()
        .send(at(1), "queue", "a")
        .take(at(2), "queue", { value: "a", firstAt: 2_000 })
        // Its begin is before the acknowledgement: no resurrection, but one too many.
        .take(at(2), "queue", { value: "a", firstAt: 2_001 }),
  ],
  [
    "doubled-delivery",
    "one receive count twice, although giving the first one back was refused",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const [handle = ""] = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      const entries = [{ handle, timeout: 0, received: false as const }];
      story.call("visibility", at(8), { queue: "queue", entries }, ["message_not_in_flight"]);
      return story.take(at(9), "queue", { value: "a", firstAt: 2_000 });
    },
  ],
  [
    "doubled-delivery",
    "one receive count twice",
    () =>
      new Story()
        .send(at(1), "queue", "a")
        .take(at(2), "queue", { value: "a", firstAt: 2_000 })
        .take(at(2), "queue", { value: "a", firstAt: 2_000 }),
  ],
  [
    "doubled-delivery",
    "a message stored under two ids",
    () => {
      const story = new Story();
      const messages = [{ value: "a", digest: "digest of a" }];
      story.call("send", at(1), { queue: "queue", messages }, "unknown");
      story.call("send", at(2), { queue: "queue", messages }, "unknown");
      story.take(at(3), "queue", { value: "a", id: "one" });
      return story.take(at(3), "queue", { value: "a", id: "two" });
    },
  ],
  [
    "handle-twice",
    "a receipt handle for two messages",
    () =>
      new Story()
        .send(at(1), "queue", "a", "b")
        .take(at(2), "queue", { value: "a", handle: "h" }, { value: "b", handle: "h" }),
  ],
  [
    "early-redelivery",
    "received again inside the visibility timeout",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      return story.take(at(6), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "early-redelivery",
    "received again although its holder had extended its hold",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const [handle = ""] = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      const entries = [{ handle, timeout: 10 }];
      story.call("visibility", at(6), { queue: "queue", entries }, ["ok"]);
      return story.take(at(10), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "count-jump",
    "a receive that nobody made",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      return story.take(at(14), "queue", { value: "a", count: 3, firstAt: 2_000 });
    },
  ],
  [
    "count-jump",
    "a first receive that is the second",
    () => new Story().send(at(1), "queue", "a").take(at(9), "queue", { value: "a", count: 2 }),
  ],
  [
    "resurrected",
    "an acknowledged message comes back",
    () =>
      new Story()
        .send(at(1), "queue", "a")
        .take(at(2), "queue", { value: "a", firstAt: 2_000 })
        .take(at(9), "queue", { value: "a", count: 2, firstAt: 2_000 }),
  ],
  [
    "stale-handle-accepted",
    "a late worker acknowledges what another one holds",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const handles = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      story.receive(at(8), "queue", { value: "a", count: 2, firstAt: 2_000 });
      return story.acknowledge(at(9), "queue", handles);
    },
  ],
  [
    "stale-change-accepted",
    "a late worker hides what another one holds",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const [handle = ""] = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      const later = story.receive(at(8), "queue", { value: "a", count: 2, firstAt: 2_000 });
      const entries = [{ handle, timeout: 10 }];
      story.call("visibility", at(9), { queue: "queue", entries }, ["ok"]);
      return story.acknowledge(at(10), "queue", later);
    },
  ],
  [
    "live-handle-refused",
    "the only holder is told that it holds nothing",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const handles = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      story.acknowledge(at(3), "queue", handles, "receipt_handle_expired");
      return story.take(at(9), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "acknowledged-twice",
    "a second acknowledgement is accepted like the first",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const handles = story.receive(at(2), "queue", "a");
      return story.acknowledge(at(3), "queue", handles).acknowledge(at(4), "queue", handles);
    },
  ],
  [
    "early-delivery",
    "a delayed send comes before its time",
    () => new Story().send(at(1), "queue", { value: "a", delay: 5 }).take(at(4), "queue", "a"),
  ],
  [
    "early-delivery",
    "by the times of Postgres it was early",
    () =>
      new Story()
        .send(at(1), "queue", { value: "a", delay: 5 })
        .take(at(9), "queue", { value: "a", sentAt: 1_000, firstAt: 4_000 }),
  ],
  [
    "after-retention",
    "a message that has expired",
    () =>
      new Story({ queues: [{ name: "queue", visibilityTimeout: 5, retention: 60 }] })
        .send(at(1), "queue", "a")
        .take(at(70), "queue", { value: "a", sentAt: 1_000 }),
  ],
  [
    "dead-letter-early",
    "dead after one receive of two",
    () => {
      const story = new Story().send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      return story.take(at(9), "dead", "a");
    },
  ],
  [
    "dead-letter-missed",
    "received once more than allowed",
    () => {
      const story = new Story().send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      story.receive(at(8), "retry", { value: "a", count: 2, firstAt: 2_000 });
      return story.take(at(14), "retry", { value: "a", count: 3, firstAt: 2_000 });
    },
  ],
  [
    "in-both-queues",
    "half a move: dead, and still in its queue",
    () => {
      const story = new Story().send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      story.receive(at(8), "retry", { value: "a", count: 2, firstAt: 2_000 });
      // Held by nobody any more, so that nothing else is wrong with it.
      story.receive(at(14), "dead", "a");
      return story.take(at(20), "retry", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "dead-letter-while-held",
    "dead while its second receiver works on it",
    () => {
      const story = new Story().send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      story.receive(at(8), "retry", { value: "a", count: 2, firstAt: 2_000 });
      return story.take(at(9), "dead", "a");
    },
  ],
  [
    "purge-survivor",
    "a send that outlives a purge",
    () =>
      new Story()
        .send(at(1), "queue", "a")
        .call("purge", at(2), { queue: "queue" }, null)
        .take(at(3), "queue", "a"),
  ],
  [
    "lost-tail",
    "a purge with an unknown outcome takes what was sent when it could no longer be carried out",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("purge", at(1), { queue: "queue" }, "unknown")
        .send(at(62), "queue", "a"),
  ],
  [
    "lost-tail",
    "a message that is lost long before a purge",
    () =>
      new Story({}, { faults: [[2, 9]] })
        .send(at(1), "queue", "a")
        .call("purge", at(100), { queue: "queue" }, null),
  ],
  [
    "vanished",
    "received once, and lost long before a purge",
    () => {
      const story = new Story({}, { faults: [] }).send(at(1), "queue", "a");
      story.receive(at(2), "queue", "a");
      return story.call("purge", at(100), { queue: "queue" }, null);
    },
  ],
  [
    "doubled-delivery",
    "a message that comes back long after a redrive",
    () => {
      const story = new Story({}, { faults: [[22, 30]] });
      return twoStays(story.call("redrive", at(21), { queue: "dead" }, null));
    },
  ],
  [
    "doubled-delivery",
    "a message that comes back when no redrive runs any more",
    () => {
      const story = new Story({}, { lateMs: 60_000 });
      story.call("redrive", at(10), { queue: "dead" }, "unknown");
      story.call("redrive", at(72), { queue: "dead" }, null);
      story.call("redrives", at(73), { queue: "dead" }, { running: true });
      story.call("redrives", at(74), { queue: "dead" }, { running: false });
      return twoStays(story);
    },
  ],
  [
    "in-both-queues",
    "a dead letter that is in its queue after the redrive before",
    () => {
      const story = new Story({}, { lateMs: 60_000, faults: [] });
      story.call("redrive", at(1), { queue: "dead" }, null).send(at(100), "retry", "a");
      story.receive(at(101), "retry", { value: "a", firstAt: 101_000 });
      story.receive(at(107), "retry", { value: "a", count: 2, firstAt: 101_000 });
      story.receive(at(113), "dead", { value: "a", firstAt: 113_000 });
      return story.take(at(115), "retry", { value: "a", firstAt: 115_000 });
    },
  ],
  [
    "sent-time-changed",
    "a sent time of long after the last redrive",
    () => {
      const story = new Story({}, { faults: [] }).send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      story.call("redrive", at(3), { queue: "dead" }, null);
      return story.take(at(8), "retry", { value: "a", firstAt: 8_000, sentAt: 99_000 });
    },
  ],
  [
    "count-jump",
    "a receive with an unknown outcome that is carried out too late",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("receive", at(1), { queue: "queue" }, "unknown")
        .send(at(62), "queue", "a")
        .take(at(69), "queue", { value: "a", count: 2, firstAt: 63_000 }),
  ],
  [
    "count-jump",
    "a receive with an unknown outcome of before the last one that is known",
    () => {
      const story = new Story({}, { lateMs: 10_000 }).send(at(1), "queue", "a");
      story.call("receive", at(2), { queue: "queue" }, "unknown");
      story.receive(at(20), "queue", { value: "a", firstAt: 20_000 });
      return story.take(at(40), "queue", { value: "a", count: 3, firstAt: 20_000 });
    },
  ],
  [
    "dead-letter-early",
    "dead after one receive of two, and one with an unknown outcome of long before",
    () => {
      const story = new Story({}, { lateMs: 60_000 });
      story.call("receive", at(1), { queue: "retry" }, "unknown").send(at(62), "retry", "a");
      story.receive(at(63), "retry", { value: "a", firstAt: 63_000 });
      return story.take(at(69), "dead", "a");
    },
  ],
  [
    "late-delivery",
    "a message that rests for a long time",
    () => new Story({}, { faults: [[2, 9]] }).send(at(1), "queue", "a").take(at(25), "queue", "a"),
  ],
  [
    "late-delivery",
    "a message that stays hidden when the time of its receiver is over",
    () => {
      const story = new Story({}, { faults: [] }).send(at(1), "queue", "a");
      story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      return story.take(at(40), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "late-delivery",
    "a message that stays hidden by a receive with an unknown outcome",
    () => {
      const story = new Story({}, { lateMs: 60_000, faults: [] }).send(at(1), "queue", "a");
      story.call("receive", at(2), { queue: "queue" }, "unknown");
      return story.take(at(40), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "filter-leak",
    "a message that the policy refuses since a change",
    () =>
      filtered()
        .call("refilter", at(1), toBlue, null)
        .publish(at(2), { value: "a", kind: "red" })
        .take(at(3), "other", "a")
        .take(at(3), "queue", "a"),
  ],
  [
    "lost-tail",
    "a message that the policy accepts since a change",
    () =>
      filtered()
        .call("refilter", at(1), toBlue, null)
        .publish(at(2), { value: "a", kind: "blue" })
        .take(at(3), "other", "a"),
  ],
  [
    "filter-leak",
    "a message that was refused, and fanned out, before a change",
    () =>
      filtered()
        .publish(at(1), { value: "a", kind: "blue" })
        .take(at(2), "other", "a")
        .call("refilter", at(3), toBlue, null)
        .take(at(4), "queue", "a"),
  ],
  [
    "lost-tail",
    "a message that was accepted, and fanned out, before a change",
    () =>
      filtered()
        .publish(at(1), { value: "a", kind: "red" })
        .take(at(2), "other", "a")
        .call("refilter", at(3), toBlue, null),
  ],
  [
    "lost-tail",
    "a message that was accepted, and has to have been fanned out long before a change",
    () =>
      new Story(
        { subscriptions: [{ topic: "topic", queue: "queue", kinds: ["red"] }] },
        { faults: [] },
      )
        .publish(at(1), { value: "a", kind: "red" })
        .call("refilter", at(30), toBlue, null),
  ],
  [
    "filter-leak",
    "a message by a policy of before two changes, one of them with an unknown outcome",
    () =>
      filtered({ lateMs: 60_000 })
        .call("refilter", at(1), { ...toBlue, kinds: ["green"] }, "unknown")
        .call("refilter", at(2), toBlue, null)
        .publish(at(3), { value: "a", kind: "red" })
        .take(at(4), "other", "a")
        .take(at(4), "queue", "a"),
  ],
  [
    "filter-leak",
    "a message by a policy whose outcome was unknown, when another one is certain",
    () =>
      filtered({ lateMs: 60_000 })
        .call("refilter", at(1), toBlue, "unknown")
        .call("refilter", at(62), { ...toBlue, kinds: ["red"] }, null)
        .publish(at(70), { value: "a", kind: "blue" })
        .take(at(71), "other", "a")
        .take(at(71), "queue", "a"),
  ],
  [
    "unexpected-delivery",
    "a delivery long after a subscribe with an unknown outcome, and an unsubscribe",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("subscribe", at(1), { topic: "topic", queue: "other" }, "unknown")
        .call("unsubscribe", at(62), { topic: "topic", queue: "other" }, null)
        .publish(at(63), "a")
        .take(at(64), "queue", "a")
        .take(at(64), "other", "a"),
  ],
  [
    "lost-tail",
    "a purge takes what was sent after it",
    () => new Story().call("purge", at(1), { queue: "queue" }, null).send(at(2), "queue", "a"),
  ],
  [
    "cancelled-but-delivered",
    "a cancelled message",
    () =>
      new Story()
        .send(at(1), "queue", { value: "a", delay: 5 })
        .call("cancel", at(2), { queue: "queue", id: "id of a" }, null)
        .take(at(9), "queue", "a"),
  ],
  [
    "delivered-while-paused",
    "a paused queue that hands out",
    () =>
      new Story()
        .send(at(1), "queue", "a")
        .call("pause", at(2), { queue: "queue" }, null)
        .take(at(3), "queue", "a")
        .call("resume", at(4), { queue: "queue" }, null),
  ],
  [
    "delivered-while-paused",
    "a paused queue that hands out, long after a resume with an unknown outcome",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("resume", at(1), { queue: "queue" }, "unknown")
        .send(at(99), "queue", "a")
        .call("pause", at(100), { queue: "queue" }, null)
        .take(at(101), "queue", "a"),
  ],
  [
    "fifo-overtaken",
    "the second of a group while the first is in flight",
    () => {
      const story = fifo().send(at(1), "queue.fifo", inGroup("a", "1"), inGroup("b", "2"));
      const first = story.receive(at(2), "queue.fifo", inGroup("a", "1"));
      story.take(at(3), "queue.fifo", inGroup("b", "2"));
      return story.acknowledge(at(4), "queue.fifo", first);
    },
  ],
  [
    "fifo-swapped",
    "two of a group in the wrong order in one answer",
    () => {
      const story = fifo().send(at(1), "queue.fifo", inGroup("a", "1"), inGroup("b", "2"));
      return story.take(at(2), "queue.fifo", inGroup("b", "2"), inGroup("a", "1"));
    },
  ],
  [
    "fifo-order",
    "numbers that contradict the order of the sends",
    () =>
      fifo()
        .send(at(1), "queue.fifo", inGroup("a", "2"))
        .send(at(2), "queue.fifo", inGroup("b", "1"))
        .take(at(3), "queue.fifo", inGroup("b", "1"))
        .take(at(4), "queue.fifo", inGroup("a", "2")),
  ],
  [
    "deduplication-missed",
    "one deduplication id, two messages",
    () =>
      fifo()
        .send(at(1), "queue.fifo", inGroup("a", "1", { deduplicationId: "d" }))
        .send(at(2), "queue.fifo", inGroup("b", "2", { deduplicationId: "d" }))
        .take(at(3), "queue.fifo", inGroup("a", "1"))
        .take(at(4), "queue.fifo", inGroup("b", "2")),
  ],
  [
    "let-in",
    "somebody with a key that is disabled gets an answer",
    () =>
      new Story()
        .call("knock", at(1), { key: "made-up" }, "fail")
        .call("knock", at(2), { key: "disabled" }, null),
  ],
  [
    "good-key-refused",
    "somebody with a good key is refused",
    () => new Story().call("knock", at(1), { key: "good" }, "fail"),
  ],
];

describe("the checker finds", () => {
  test.each(broken)("%s: %s", (name, _, tell) => {
    expect(found(tell())).toContain(name);
  });

  test.each(broken)("%s whichever log is read first: %s", (_, __, tell) => {
    const story = tell();
    const inOrder = found(story);
    story.calls.reverse();
    expect(found(story)).toEqual(inOrder);
  });

  test("each of them in a history that has nothing else to be said against", () => {
    // What breaks one promise can break another by its nature: these say so.
    const byNature: Partial<Record<AnomalyName, AnomalyName[]>> = {
      "doubled-delivery": ["resurrected", "early-redelivery"],
      "identity-changed": ["live-handle-refused"],
      "fifo-swapped": ["fifo-overtaken"],
      "in-both-queues": ["doubled-delivery", "early-redelivery", "resurrected"],
      "stale-handle-accepted": ["vanished"],
      "fifo-order": [],
    };
    for (const [name, what, tell] of broken) {
      const others = found(tell()).filter(
        (other) => other !== name && !byNature[name]?.includes(other),
      );
      expect(others, `${name}: ${what}`).toEqual([]);
    }
  });
});
