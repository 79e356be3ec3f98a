import fc from "fast-check";
import { expect, test } from "vitest";
import { Spans } from "./spans.ts";

const moment = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(-Infinity, Infinity));
const spans = fc.array(fc.record({ begin: moment, end: moment }), { maxLength: 12 });

test("spans answer what a walk over all of them answers", () => {
  fc.assert(
    fc.property(spans, moment, (all, at) => {
      const arranged = new Spans(all);
      const begun = all.filter(({ begin }) => begin < at);
      expect(arranged.begunBefore(at)).toBe(begun.length);
      expect(arranged.endedBefore(at)).toBe(all.filter(({ end }) => end < at).length);
      expect(arranged.latestEnd(at)).toBe(Math.max(...begun.map(({ end }) => end)));
      const later = all.filter(({ begin }) => begin >= at);
      expect(arranged.earliestEnd(at)).toBe(Math.min(...later.map(({ end }) => end)));
      const ending = all.filter(({ end }) => end > at);
      expect(arranged.earliestBegin(at)).toBe(Math.min(...ending.map(({ begin }) => begin)));
    }),
  );
});
