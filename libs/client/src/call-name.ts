import type { SluiceError } from "./errors.ts";

/** What errors call a call: as the program knows it, and as the server does. */
export interface NamedCall {
  readonly method: string;
  readonly path: string;
  /** Absent from what the program asks of the server itself. */
  readonly call?: string | undefined;
}

/** `admin.queues.get (GET /v1/queues/billing)` */
export function nameOf({ method, path, call }: NamedCall): string {
  const route = `${method} ${path}`;
  return call === undefined ? route : `${call} (${route})`;
}

/** Notes in an error which call it is of, unless that is known. */
export function noteCall(error: SluiceError, name: string): void {
  (error as { call: string | undefined }).call ??= name;
}

/**
 * What the server says, with the calls that it advises in the words of this package: `admin.queues.create` for
 * `POST /v1/queues`.
 */
export function inOwnWords(message: string): string {
  return message.replaceAll(
    /\b(POST|PATCH) \/v1\/(topics|queues|subscriptions)(?:\/[^\s,;]+)?/g,
    (_, method, of) => `admin.${of}.${method === "POST" ? "create" : "update"}`,
  );
}
