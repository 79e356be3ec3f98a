import { z } from "@hono/zod-openapi";
import type { ReplayPoint } from "@sluice/engine";

/** A place in an archive: a time, or the id of a message. */
export const replayPoint = z
  .union([z.uuid(), z.iso.datetime({ offset: true })], "a time in ISO 8601, or a message id")
  .transform((text): ReplayPoint =>
    text.includes(":") ? { at: new Date(text) } : { messageId: text },
  )
  .openapi({ type: "string", example: "2026-01-31T08:00:00Z" });
