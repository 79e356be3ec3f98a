import { z } from "@hono/zod-openapi";
import { classifyFailure } from "@sluice/database";
import { errorTable, SluiceError, type ErrorCode } from "@sluice/engine";
import type { Context } from "hono";

export const errorSchema = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      details: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    }),
  })
  .openapi("Error");

export const entryErrorSchema = z
  .object({
    code: z.enum([
      "message_too_large",
      "invalid_message",
      "invalid_attribute",
      "receipt_handle_expired",
      "message_not_in_flight",
      "visibility_beyond_limit",
    ]),
    message: z.string(),
  })
  .openapi("EntryError");

/** Any endpoint may answer these. */
const common: ErrorCode[] = ["invalid_request", "unauthenticated", "internal", "unavailable"];

/** OpenAPI: the error answers of an endpoint, by status, naming their codes. */
export function errorResponses(codes: readonly ErrorCode[]) {
  const byStatus = new Map<number, Set<ErrorCode>>();
  for (const code of [...codes, ...common]) {
    const { status } = errorTable[code];
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code));
  }
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      status,
      {
        description: [...of].join(", "),
        content: { "application/json": { schema: errorSchema, examples: examplesOf([...of]) } },
      },
    ]),
  );
}

/** One for each code: of a schema alone the reference would show the first code that there is, whatever the status. */
function examplesOf(codes: readonly ErrorCode[]) {
  const message = "what is wrong, and how to mend the call";
  return Object.fromEntries(codes.map((code) => [code, { value: { error: { code, message } } }]));
}

/** Seconds after which a refused call may be tried again. */
const RETRY_AFTER = "1";

/** An error in the one form there is. What is not ours is logged by the caller and told to nobody. */
export function errorAnswer(error: unknown) {
  const known = toSluiceError(error);
  const { status, retryable } = errorTable[known.code];
  const headers: Record<string, string> =
    retryable && known.code !== "internal" ? { "retry-after": RETRY_AFTER } : {};
  const { code, message, details } = known;
  return {
    status,
    headers,
    body: { error: details ? { code, message, details } : { code, message } },
  };
}

export function errorResponse(c: Context, error: unknown): Response {
  const { status, headers, body } = errorAnswer(error);
  return c.json(body, status, headers);
}

/** Whether the log has to say why a call failed: where it is no fault of its caller, who is not told. */
export function isForTheLog(error: unknown): boolean {
  const { code } = toSluiceError(error);
  return code === "internal" || code === "unavailable";
}

/**
 * What an error means to a caller: our own as they are, a database that is away as `unavailable`, a bug as `internal`.
 */
export function toSluiceError(error: unknown): SluiceError {
  if (error instanceof SluiceError) return error;
  if (classifyFailure(error) === "unavailable") {
    return new SluiceError(
      "unavailable",
      "the database does not answer; the call may or may not have taken effect",
      { cause: error },
    );
  }
  return new SluiceError(
    "internal",
    "something went wrong on our side; the log of the server has the cause",
    { cause: error },
  );
}
