import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { check } from "./check.ts";
import { clockTolerance, DatabaseClock } from "./database-clock.ts";
import { at } from "./stories.ts";
import { Story } from "./story.ts";

const second = 1e9;

test("what the clock shows at a moment is taken for a time around that moment, however often it has jumped", () => {
  const seconds = fc.integer({ min: 0, max: 100 });
  const jump = fc.record({ pause: seconds, takes: seconds, by: fc.integer({ min: -50, max: 50 }) });
  fc.assert(
    fc.property(
      fc.array(jump, { maxLength: 5 }),
      fc.integer({ min: 0, max: 9 }),
      seconds,
      (all, place, moment) => {
        let end = 0;
        const jumps = all.map(({ pause, takes, by }) => {
          const begin = end + pause * second;
          end = begin + takes * second;
          return { begin, end, by: by * 1_000 };
        });
        // Each happens at the same place between its begin and its end.
        const happened = jumps.filter(
          ({ begin, end: last }) => begin + ((last - begin) * place) / 9 <= moment * second,
        );
        const shown = 7_000 + moment * 1_000 + happened.reduce((sum, { by }) => sum + by, 0);
        const clock = new DatabaseClock(7_000, jumps);
        expect(clock.earliest(shown)).toBeLessThanOrEqual(moment * second + clockTolerance);
        expect(clock.latest(shown)).toBeGreaterThanOrEqual(moment * second - clockTolerance);
      },
    ),
  );
});

const fifo = { queues: [{ name: "queue", visibilityTimeout: 5, fifo: true }] };
const retained = { queues: [{ name: "queue", visibilityTimeout: 5, retention: 60 }] };

/** Each with what the clock of Postgres has to do for it to be as promised. */
const stories: [string, [at: number, by: number], (more: object) => Story][] = [
  [
    "early-redelivery",
    [3, 2],
    (more) => {
      const story = new Story({}, more).send(at(1), "queue", "a");
      story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
      return story.take(at(5.5), "queue", { value: "a", count: 2, firstAt: 2_000 });
    },
  ],
  [
    "early-delivery",
    [2, 3],
    (more) =>
      new Story({}, more)
        .send(at(1), "queue", { value: "a", delay: 5 })
        .take(at(4), "queue", { value: "a", sentAt: 1_000, firstAt: 7_000 }),
  ],
  [
    // By the times of Postgres.
    "early-delivery",
    [3, -2],
    (more) =>
      new Story({}, more)
        .send(at(1), "queue", { value: "a", delay: 5 })
        .take(at(9), "queue", { value: "a", sentAt: 1_000, firstAt: 4_000 }),
  ],
  [
    "after-retention",
    [30, -10],
    (more) =>
      new Story(retained, more)
        .send(at(1), "queue", "a")
        .take(at(70), "queue", { value: "a", sentAt: 1_000 }),
  ],
  [
    "deduplication-missed",
    [100, 60],
    (more) => {
      const story = new Story(fifo, more);
      for (const [moment, value] of [
        [1, "a"],
        [251, "b"],
      ] as const)
        story
          .send(at(moment), "queue", { value, group: "g", deduplicationId: "same" })
          .take(at(moment + 1), "queue", { value, sequence: value });
      return story;
    },
  ],
  [
    "doubled-delivery",
    [110, -100],
    (more) => {
      const story = new Story({}, more).send(at(100), "retry", "a");
      story.receive(at(101), "retry", { value: "a", sentAt: 100_000, firstAt: 101_000 });
      story.receive(at(107), "retry", { value: "a", count: 2, sentAt: 100_000, firstAt: 101_000 });
      story.call("redrive", at(114), { queue: "dead" }, null);
      return story.take(at(115), "retry", { value: "a", sentAt: 14_000, firstAt: 15_000 });
    },
  ],
];

describe("what the clock of Postgres did is an excuse for", () => {
  test.each(stories)("%s", (name, [moment, by], tell) => {
    const found = (...jumps: [number, number][]) =>
      check(tell({ jumps }).history).map((anomaly) => anomaly.name);
    expect(found()).toContain(name);
    expect(found([moment, by])).toEqual([]);
    // By less than it takes, the other way round, and when all was over.
    expect(found([moment, by * 0.4])).toContain(name);
    expect(found([moment, -by])).toContain(name);
    expect(found([1_000, by])).toContain(name);
  });
});

test("a clock that goes to and fro is no excuse for more than how far it was out", () => {
  const world = { queues: [{ name: "queue", visibilityTimeout: 20 }] };
  const jumps = [
    [3, 5],
    [4, -5],
    [5, 5],
    [6, -5],
    [7, 5],
  ] as const;
  const found = (again: number) => {
    const story = new Story(world, { jumps }).send(at(1), "queue", "a");
    story.receive(at(2), "queue", { value: "a", firstAt: 2_000 });
    story.take(at(again), "queue", { value: "a", count: 2, firstAt: 2_000 });
    return check(story.history).map((anomaly) => anomaly.name);
  };
  expect(found(13)).toContain("early-redelivery");
  expect(found(18)).toEqual([]);
});
