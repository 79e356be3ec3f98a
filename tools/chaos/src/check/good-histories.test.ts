import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { randomFrom } from "../random.ts";
import type { Call } from "../history/history.ts";
import { check } from "./check.ts";
import { ImaginedBroker } from "./imagined-broker.ts";
import { Indexed } from "./indexed.ts";
import { at, filtered, toBlue, twoStays } from "./stories.ts";
import { Story, unknownOutcome } from "./story.ts";

const good: [string, () => Story][] = [
  ["nothing at all", () => new Story()],
  [
    "somebody who is not let in, or not answered",
    () =>
      new Story()
        .call("knock", at(1), { key: "none" }, "fail")
        .call("knock", at(2), { key: "wrong-secret" }, "unknown"),
  ],
  [
    "a publish that everybody gets",
    () => new Story().publish(at(1), "a").take(at(2), "queue", "a").take(at(2), "other", "a"),
  ],
  [
    "a publish with an unknown outcome that never was",
    () => new Story().call("publish", at(1), { topic: "topic", messages: [sent("a")] }, "unknown"),
  ],
  [
    "a publish with an unknown outcome that was",
    () =>
      new Story()
        .call("publish", at(1), { topic: "topic", messages: [sent("a")] }, "unknown")
        .take(at(9), "queue", "a")
        .take(at(9), "other", "a"),
  ],
  [
    "a receive with an unknown outcome, which explains a receive count",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      story.call("receive", at(2), { queue: "queue" }, "unknown");
      return story.take(at(9), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "an acknowledgement with an unknown outcome that was, and one that was not",
    () => {
      const story = new Story().send(at(1), "queue", "a", "b");
      const handles = story.receive(
        at(2),
        "queue",
        { value: "a", firstAt: 2_000 },
        { value: "b", firstAt: 2_000 },
      );
      story.call("acknowledge", at(3), { queue: "queue", handles }, "unknown");
      return story.take(at(9), "queue", { value: "b", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "a visibility change with an unknown outcome that gave a message back",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const [handle = ""] = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      const entries = [{ handle, timeout: 0 }];
      story.call("visibility", at(3), { queue: "queue", entries }, "unknown");
      return story.take(at(4), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  ...(
    [
      ["ok", { count: 1, firstAt: 4_000 }],
      ["unknown", { count: 1, firstAt: 4_000 }],
      ["unknown", { count: 2, firstAt: 2_000 }],
    ] as const
  ).map(([answer, then]): [string, () => Story] => [
    `a message that was given back as not received (${answer}), and comes as its receive number ${then.count}`,
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const [handle = ""] = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      const entries = [{ handle, timeout: 0, received: false as const }];
      const told = answer === "unknown" ? answer : [answer];
      story.call("visibility", at(3), { queue: "queue", entries }, told);
      return story.take(at(4), "queue", { value: "a", ...then });
    },
  ]),
  [
    "an unsubscribe during a publish: either",
    () =>
      new Story()
        .publish(at(1, 3), "a", "b")
        .call("unsubscribe", at(2), { topic: "topic", queue: "other" }, null)
        .take(at(4), "queue", "a", "b")
        .take(at(4), "other", "a"),
  ],
  [
    "an unsubscribe with an unknown outcome: either, for ever",
    () =>
      new Story()
        .call("unsubscribe", at(1), { topic: "topic", queue: "other" }, "unknown")
        .publish(at(2), "a", "b")
        .take(at(4), "queue", "a", "b")
        .take(at(4), "other", "b"),
  ],
  [
    "a purge during a send: either",
    () =>
      new Story()
        .send(at(1, 3), "queue", "a", "b")
        .call("purge", at(2), { queue: "queue" }, null)
        .take(at(4), "queue", "b"),
  ],
  [
    "a resume with an unknown outcome that is carried out after the next pause",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("resume", at(50), { queue: "queue" }, "unknown")
        .send(at(99), "queue", "a")
        .call("pause", at(100), { queue: "queue" }, null)
        .take(at(101), "queue", "a"),
  ],
  [
    "a purge with an unknown outcome that is carried out late",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("purge", at(1), { queue: "queue" }, "unknown")
        .send(at(50), "queue", "a"),
  ],
  [
    "a purge that meets what faults have held up for long",
    () =>
      new Story({}, { faults: [[2, 90]] })
        .send(at(1), "queue", "a")
        .call("purge", at(100), { queue: "queue" }, null),
  ],
  [
    "a redrive that faults hold up for long",
    () => {
      const story = new Story({}, { lateMs: 60_000, faults: [[22, 95]] });
      story.call("redrive", at(21), { queue: "dead" }, null);
      return twoStays(story);
    },
  ],
  [
    "a redrive with an unknown outcome that begins late",
    () => {
      const story = new Story({}, { lateMs: 60_000, faults: [] });
      story.call("redrive", at(30), { queue: "dead" }, "unknown");
      return twoStays(story);
    },
  ],
  [
    "a redrive that may have begun after somebody saw that none runs",
    () => {
      const story = new Story({}, { lateMs: 60_000 });
      story.call("redrive", at(60), { queue: "dead" }, "unknown");
      story.call("redrives", at(70), { queue: "dead" }, { running: false });
      return twoStays(story);
    },
  ],
  [
    "a delayed message that a redrive brings back, and that is received at once",
    () => {
      const story = new Story().send(at(1), "retry", { value: "a", delay: 5 });
      const before = { value: "a", firstAt: 7_000, sentAt: 1_000 };
      story.receive(at(7), "retry", before);
      story.receive(at(13), "retry", { ...before, count: 2 });
      story.call("redrive", at(20), { queue: "dead" }, null);
      return story.take(at(21), "retry", { value: "a", firstAt: 21_000, sentAt: 20_500 });
    },
  ],
  [
    "a redrive that still runs",
    () => {
      const story = new Story({}, { faults: [[2, 99]] });
      story.call("redrive", at(1), { queue: "dead" }, null);
      story.call("redrives", at(90), { queue: "dead" }, { running: true });
      return twoStays(story);
    },
  ],
  [
    "a receive with an unknown outcome that is carried out late",
    () =>
      new Story({}, { lateMs: 60_000 })
        .call("receive", at(1), { queue: "queue" }, "unknown")
        .send(at(50), "queue", "a")
        .take(at(59), "queue", { value: "a", count: 2, firstAt: 51_000 }),
  ],
  [
    "a delivery that faults hold up for long, and then receives with unknown outcomes",
    () => {
      const story = new Story({}, { lateMs: 60_000, faults: [[2, 90]] }).send(at(1), "queue", "a");
      for (const moment of [92, 103])
        story.call("receive", at(moment), { queue: "queue" }, "unknown");
      return story.take(at(130), "queue", { value: "a", count: 3, firstAt: 93_000 });
    },
  ],
  [
    "a delivery that its holder had put off",
    () => {
      const story = new Story({}, { faults: [] }).send(at(1), "queue", "a");
      const [handle = ""] = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      const entries = [{ handle, timeout: 60 }];
      story.call("visibility", at(3), { queue: "queue", entries }, ["ok"]);
      return story.take(at(64), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "a filter policy that is changed during a publish: either",
    () =>
      filtered()
        .publish(at(1, 3), { value: "a", kind: "red" }, { value: "b", kind: "red" })
        .publish(at(1, 3), { value: "c", kind: "blue" }, { value: "d", kind: "blue" })
        .call("refilter", at(2), toBlue, null)
        .take(at(4), "other", "a", "b", "c", "d")
        .take(at(4), "queue", "a", "d"),
  ],
  [
    "a filter policy that is changed between a publish and its fan-out: either",
    () =>
      filtered()
        .publish(at(1), { value: "a", kind: "blue" }, { value: "b", kind: "red" })
        .call("refilter", at(2), toBlue, null)
        .take(at(4), "other", "a", "b")
        .take(at(4), "queue", "a"),
  ],
  [
    "a change of a filter policy with an unknown outcome: either, until another one is certain",
    () =>
      filtered({ lateMs: 60_000 })
        .call("refilter", at(1), toBlue, "unknown")
        .call("refilter", at(2), { ...toBlue, kinds: ["red"] }, null)
        .publish(at(50), { value: "a", kind: "blue" }, { value: "b", kind: "red" })
        .take(at(51), "other", "a", "b")
        .take(at(51), "queue", "a")
        .call("refilter", at(62), { ...toBlue, kinds: ["red"] }, null)
        .publish(at(70), { value: "c", kind: "blue" }, { value: "d", kind: "red" })
        .take(at(71), "other", "c", "d")
        .take(at(71), "queue", "d"),
  ],
  [
    "a change of a filter policy that was refused",
    () =>
      filtered()
        .call("refilter", at(1), toBlue, "fail")
        .publish(at(2), { value: "a", kind: "red" }, { value: "b", kind: "blue" })
        .take(at(3), "other", "a", "b")
        .take(at(3), "queue", "a"),
  ],
  [
    "a slow answer that arrives after the next receive of the same message",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      story.receive(at(2, 20), "queue", { value: "a", firstAt: 2_000 });
      return story.take(at(9), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "an acknowledgement that begins in time and is carried out too late",
    () => {
      const story = new Story().send(at(1), "queue", "a");
      const handles = story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      story.acknowledge(at(6.9, 9), "queue", handles, "receipt_handle_expired");
      return story.take(at(8), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "dead after as many receives as allowed, redriven, and received anew",
    () => {
      const story = new Story().send(at(1), "retry", "a");
      story.receive(at(2), "retry", { value: "a", firstAt: 2_000 });
      story.call("receive", at(9), { queue: "retry" }, "unknown");
      story.receive(at(20), "dead", { value: "a", firstAt: 20_000 });
      story.call("redrive", at(21), { queue: "dead" }, "unknown");
      return story.take(at(30), "retry", { value: "a", firstAt: 30_000, sentAt: 21_500 });
    },
  ],
  [
    "two of a group in one answer, in order, and the next when they are gone",
    () => {
      const queues = [{ name: "queue.fifo", fifo: true, visibilityTimeout: 5 }];
      const [a, b, c] = ["a", "b", "c"].map((value, index) => ({
        value,
        group: "g",
        sequence: `${index}`,
      })) as [object, object, object];
      return new Story({ topics: [], queues, subscriptions: [] })
        .send(at(1), "queue.fifo", a, b, c)
        .take(at(2), "queue.fifo", a, b)
        .take(at(3), "queue.fifo", c);
    },
  ],
];

function sent(value: string) {
  return { value, digest: `digest of ${value}` };
}

describe("the checker has nothing against", () => {
  test.each(good)("%s", (_, tell) => {
    expect(check(tell().history)).toEqual([]);
  });

  test.each(good)("%s, whichever log is read first", (_, tell) => {
    const { history } = tell();
    expect(check({ ...history, calls: history.calls.toReversed() })).toEqual([]);
  });

  test("whatever a broker that keeps its promises does over a network that does not", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const { history } = new ImaginedBroker(randomFrom(seed)).play(120);
        expect(check(history)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test("a history in which what was known is forgotten: less is known, and nothing is wrong", () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0, max: 1, noNaN: true }), (seed, share) => {
        const random = randomFrom(seed);
        const { history } = new ImaginedBroker(random).play(80);
        // Receives that are forgotten take their handles along, and acknowledgements of unknown handles say nothing.
        const forgettable = new Set<Call["operation"]>(["publish", "send", "purge", "refilter"]);
        const calls = history.calls.map((call) =>
          forgettable.has(call.operation) && random() < share ? unknownOutcome(call) : call,
        );
        expect(check({ ...history, calls })).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});

test("who knocks is counted by the kind of the key: answers to others say nothing of it", () => {
  const { history } = new Story()
    .call("knock", at(1), { key: "none" }, "fail")
    .call("knock", at(2), { key: "just-disabled" }, "unknown")
    .call("knock", at(3), { key: "just-disabled" }, "fail");
  expect(new Indexed(history).outcomes).toEqual({
    "knock, key: none": { ok: 0, fail: 1, unknown: 0 },
    "knock, key: just-disabled": { ok: 0, fail: 1, unknown: 1 },
  });
});

describe("the checker notices in any history", () => {
  /** A played history and one of its calls that fits, or none. */
  function played(seed: number, fits: (call: Call) => boolean) {
    const random = randomFrom(seed);
    const { history } = new ImaginedBroker(random).play(60);
    const candidates = history.calls.filter(fits);
    return { history, call: candidates[Math.floor(random() * candidates.length)] };
  }

  test("a message that is delivered and was never sent", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const { history, call } = played(
          seed,
          (one) => one.operation === "receive" && (one.response?.length ?? 0) > 0,
        );
        fc.pre(call?.operation === "receive" && call.response?.[0] !== undefined);
        Object.assign(call.response[0]!, { value: "nobody sent this" });
        expect(check(history).map(({ name }) => name)).toContain("phantom");
      }),
    );
  });

  test("a send that is answered and stored nowhere", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const { history } = played(seed, () => true);
        const story = new Story();
        story.calls.push(...history.calls);
        story.send(at(0.5), "queue", "stored nowhere");
        expect(check(story.history).map(({ name }) => name)).toContain("lost-middle");
      }),
    );
  });

  test("an acknowledged message that is received once more at the end", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const { history, call } = played(
          seed,
          (one) => one.operation === "acknowledge" && one.response?.[0] === "ok",
        );
        fc.pre(call?.operation === "acknowledge");
        const [handle] = call.request.handles;
        const receives = history.calls.flatMap((one) =>
          one.operation === "receive" ? (one.response ?? []) : [],
        );
        const received = receives.find((one) => one.handle === handle)!;
        const again = { ...received, handle: "again", count: received.count + 1 };
        const story = new Story();
        story.calls.push(...history.calls);
        story.call("receive", at(1e5), { queue: call.request.queue }, [again]);
        expect(check(story.history).map(({ name }) => name)).toContain("resurrected");
      }),
    );
  });
});
