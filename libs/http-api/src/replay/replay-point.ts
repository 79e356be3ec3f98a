import { z } from "@hono/zod-openapi";
import type { ReplayPoint } from "@sluice/engine";

/** A place in an archive: a time that Postgres has a name for as ISO 8601 does, or the id of a message. */
export const replayPoint = z
  .union(
    [z.uuid(), z.iso.datetime({ offset: true })],
    "a time in ISO 8601 with its zone (2026-01-31T08:00:00Z), or a message id",
  )
  .transform((text): ReplayPoint =>
    text.includes(":") ? { at: new Date(text) } : { messageId: text },
  )
  .refine(
    (point) => !("at" in point) || isNameable(point.at),
    "a time in the years 1 to 9999, in UTC",
  )
  .openapi({ type: "string", example: "2026-01-31T08:00:00Z" });

/** Not in the years before and after, whose names Postgres does not read. */
function isNameable(time: Date): boolean {
  const year = time.getUTCFullYear();
  return year >= 1 && year <= 9999;
}
