import fc from "fast-check";
import { expect, expectTypeOf, test } from "vitest";
import { decodeAttributes, encodeAttributes } from "./attributes.ts";
import type { AttributesInput } from "./attributes.ts";

test("the short forms become typed attributes", () => {
  const bytes = new Uint8Array([0, 127, 255]);
  expect(encodeAttributes({ type: "push", count: 3, big: 2n ** 70n, bytes })).toEqual({
    type: { type: "String", value: "push" },
    count: { type: "Number", value: "3" },
    big: { type: "Number", value: "1180591620717411303424" },
    bytes: { type: "Binary", value: "AH//" },
  });
});

test("the long form goes as it is", () => {
  const price = { type: "Number.eur", value: "12.50" };
  expect(encodeAttributes({ price })).toEqual({ price });
});

test("values come back as they were given", () => {
  const value = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), value), (attributes) => {
      const read = decodeAttributes(encodeAttributes(attributes));
      for (const [name, given] of Object.entries(attributes)) {
        // -0 is written 0
        expect(read[name]).toEqual(typeof given === "number" ? given + 0 : given);
      }
    }),
  );
});

test("__proto__ is a name like any other", () => {
  const wire = encodeAttributes({ ["__proto__"]: "x", other: 1 });
  expect(JSON.stringify(wire)).toBe(
    '{"__proto__":{"type":"String","value":"x"},"other":{"type":"Number","value":"1"}}',
  );
  expect(Object.entries(decodeAttributes(wire))).toEqual([
    ["__proto__", "x"],
    ["other", 1],
  ]);
});

test("labelled types are read by their base type", () => {
  const read = decodeAttributes({
    n: { type: "Number.int", value: "7" },
    b: { type: "Binary.png", value: "AQI=" },
    s: { type: "String.Numberish", value: "7" },
  });
  expect(read).toEqual({ n: 7, b: new Uint8Array([1, 2]), s: "7" });
});

test("a value that no type carries is refused by name", () => {
  expect(() => encodeAttributes({ load: Number.NaN })).toThrow(
    expect.objectContaining({
      code: "invalid_attribute",
      details: [
        {
          path: "attributes.load",
          message: "expected a string, a finite number, bytes or {type, value}, got NaN",
        },
      ],
    }),
  );
  expectTypeOf<{ on: boolean }>().not.toExtend<AttributesInput>();
  expect(() => encodeAttributes({ on: true as never })).toThrow(/Attribute on/);
});
