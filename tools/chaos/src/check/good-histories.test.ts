import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { randomFrom } from "../random.ts";
import type { Call } from "../history/history.ts";
import { check } from "./check.ts";
import { ImaginedBroker } from "./imagined-broker.ts";
import { Story, unknownOutcome, type Span } from "./story.ts";

const at = (seconds: number, until = seconds + 0.01): Span => ({ at: seconds, until });

const good: [string, () => Story][] = [
  ["nothing at all", () => new Story()],
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
        const forgettable = new Set<Call["operation"]>(["publish", "send", "purge"]);
        const calls = history.calls.map((call) =>
          forgettable.has(call.operation) && random() < share ? unknownOutcome(call) : call,
        );
        expect(check({ ...history, calls })).toEqual([]);
      }),
      { numRuns: 100 },
    );
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
