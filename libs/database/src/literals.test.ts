import fc from "fast-check";
import { afterAll, expect, inject, test } from "vitest";

import { connectDatabase } from "./connect.ts";
import { numbers, texts } from "./literals.ts";

const database = connectDatabase({ url: inject("databaseUrl"), pool: 1 });
afterAll(() => database.close());

test("any texts come out of the server as they went in", async () => {
  const anyText = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"));
  await fc.assert(
    fc.asyncProperty(fc.array(anyText), async (values) => {
      const [row] = await database.sql<{ json: string[] }[]>`
        SELECT to_json(${texts(values)}::text[]) AS json`;
      expect(row?.json).toEqual(values);
    }),
    { examples: [[["", "NULL", "null", `"`, "\\", `\\"`, "{", "}", ",", " a ", "a\nb", "'"]]] },
  );
});

test("any numbers and ids come out of the server as they went in", async () => {
  const bigint = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  await fc.assert(
    fc.asyncProperty(fc.array(bigint), async (values) => {
      const [row] = await database.sql<{ text: string | null }[]>`
        SELECT array_to_string(${numbers(values)}::bigint[], ',') AS text`;
      expect(row?.text).toBe(values.join());
    }),
  );
});

test("fractions survive", async () => {
  const [row] = await database.sql<{ json: number[] }[]>`
    SELECT to_json(${numbers([0, -1, 0.1, 1e-7, 1e21])}::float8[]) AS json`;
  expect(row?.json).toEqual([0, -1, 0.1, 1e-7, 1e21]);
});
