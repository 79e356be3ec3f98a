import fc from "fast-check";
import { expect, test } from "vitest";

import { takeRound } from "./take-round.ts";

interface Sent {
  target: string;
  number: number;
}

const waiting = fc
  .array(fc.record({ target: fc.constantFrom(..."abc"), weight: fc.integer({ min: 1, max: 30 }) }))
  .map((items) =>
    items.map(({ target, weight }, number) => ({ item: { target, number }, weight })),
  );
const targetOf = ({ target }: Sent) => target;
const numbers = (entries: readonly { item: Sent }[], of?: string) =>
  entries.filter(({ item }) => (of ?? item.target) === item.target).map(({ item }) => item.number);

test("rounds take everything, keep the order of each target, and stop growing at their weight", () => {
  fc.assert(
    fc.property(waiting, fc.boolean(), (entries, byTarget) => {
      const options = { maxRound: 40, ...(byTarget && { targetOf }) };
      const written: typeof entries = [];
      let left = entries;
      while (left.length > 0) {
        const { round, rest } = takeRound<Sent, (typeof entries)[number]>(left, options);
        const weight = round.reduce((sum, entry) => sum + entry.weight, 0);
        expect(round.length > 0 && (round.length === 1 || weight <= 40)).toBe(true);
        expect(round.length + rest.length).toBe(left.length);
        written.push(...round);
        left = rest;
      }
      if (!byTarget) expect(numbers(written)).toEqual(numbers(entries));
      for (const target of "abc")
        expect(numbers(written, target)).toEqual(numbers(entries, target));
    }),
  );
});

test("whoever comes after a crowd for another target is in the next round", () => {
  const crowd = Array.from({ length: 100 }, (_, number) => ({
    item: { target: "a", number },
    weight: 10,
  }));
  const last = { item: { target: "b", number: 100 }, weight: 10 };
  const take = (options: { maxRound: number; targetOf?: typeof targetOf }) =>
    takeRound<Sent, typeof last>([...crowd, last], options).round;
  expect(take({ maxRound: 100, targetOf })).toEqual([...crowd.slice(0, 9), last]);
  expect(take({ maxRound: 100 })).toEqual(crowd.slice(0, 10));
});
