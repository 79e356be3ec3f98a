import fc from "fast-check";
import { expect, test } from "vitest";
import { Calm } from "./calm.ts";

const second = 1e9;

test("what waits is due after fifteen seconds without faults, whatever time they took", () => {
  const calm = new Calm(
    [
      { begin: 100, end: 110 },
      { begin: 105, end: 120 },
      { begin: 125, end: 200 },
    ].map(({ begin, end }) => ({ begin: begin * second, end: end * second })),
  );
  const due = (moment: number, things?: number) => calm.dueAfter(moment * second, things) / second;
  expect(due(10)).toBe(25);
  expect(due(95)).toBe(205);
  expect(due(95, 2)).toBe(220);
  expect(due(110)).toBe(210);
  expect(due(122)).toBe(212);
  expect(due(150)).toBe(215);
  expect(due(300)).toBe(315);
});

test("nothing is due where nobody knows of the faults, and everything where there were none", () => {
  expect(new Calm(undefined).dueAfter(1)).toBe(Infinity);
  expect(new Calm([]).dueAfter(1)).toBe(15 * second + 1);
});

test("from a moment until what could be done then is due there are fifteen seconds without faults", () => {
  const moment = fc.integer({ min: 0, max: 100 });
  const spans = fc.array(fc.record({ begin: moment, lasts: fc.integer({ min: 1, max: 30 }) }));
  fc.assert(
    fc.property(spans, moment, (all, from) => {
      const faults = all.map(({ begin, lasts }) => ({ begin, end: begin + lasts }));
      const inNs = faults.map(({ begin, end }) => ({ begin: begin * second, end: end * second }));
      const due = new Calm(inNs).dueAfter(from * second) / second;
      let calm = 0;
      for (let at = from; at < due; at += 1)
        if (!faults.some(({ begin, end }) => begin <= at && at < end)) calm += 1;
      expect(calm).toBe(15);
    }),
  );
});
