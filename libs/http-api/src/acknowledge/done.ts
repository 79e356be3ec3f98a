import { z } from "@hono/zod-openapi";
import type { EntryError } from "@sluice/engine";

import { entryErrorSchema } from "../errors.ts";

export const doneSchema = z.object({
  results: z
    .array(z.union([z.object({ ok: z.literal(true) }), z.object({ error: entryErrorSchema })]))
    .openapi({ description: "One for each handle, in order" }),
});

/** Answers one result a handle: undefined is done. */
export function doneJson(results: readonly (EntryError | undefined)[]): Response {
  const entries = results.map((error) => (error ? JSON.stringify({ error }) : '{"ok":true}'));
  return new Response(`{"results":[${entries.join(",")}]}`, {
    headers: { "content-type": "application/json" },
  });
}
