import { z } from "@hono/zod-openapi";
import { noLongerHeld, type EntryError } from "@sluice/engine";

import { entryErrorSchema } from "../errors.ts";
import { bitSet } from "../fields.ts";

export const resultsSchema = z
  .array(
    z.union([
      z.object({ ok: z.literal(true) }),
      z.object({
        error: entryErrorSchema,
        bits: bitSet.optional().openapi({
          description: "Of a receipt: the messages that it holds for; the others are gone",
        }),
      }),
    ]),
  )
  .openapi({ description: "One for each handle or receipt, in order" });

export const doneSchema = z.object({ results: resultsSchema });

/** One result a handle: undefined is done. */
export function doneEntries(results: readonly (EntryError | undefined)[]): string[] {
  return results.map((error) => (error ? JSON.stringify({ error }) : OK));
}

/** One result a receipt, given the bits of it that are not done. */
export function leftOverEntries(left: readonly bigint[]): string[] {
  return left.map((bits) =>
    bits === 0n ? OK : JSON.stringify({ error: noLongerHeld(), bits: bits.toString(16) }),
  );
}

const OK = '{"ok":true}';

/** The answer with such results. */
export function doneJson(entries: readonly string[]): string {
  return `{"results":[${entries.join(",")}]}`;
}
