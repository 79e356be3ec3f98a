import { invalidOption, refuseUnknown } from "@sluice/client/internal";
import type { HeldMessage } from "./held-message.ts";
import type { ReleaseOptions } from "./received-message.ts";

/** Characters of a reason that the server keeps. */
const maxReason = 1_024;

/** As it goes to the server. */
export interface Release {
  readonly message: HeldMessage;
  /** Seconds until the message is visible again. */
  readonly delay: number;
  /** Why, where that is known. */
  readonly reason?: string | undefined;
  /** False where nobody has seen the message. */
  readonly received?: false;
}

/** What a handler asks for. Throws `invalid_request` for what is none of it: for callers without types. */
export function releaseOptionsOf(options: number | ReleaseOptions): ReleaseOptions {
  if (typeof options === "number") return { delay: options };
  if (typeof options !== "object" || options === null)
    throw invalidOption("release", "expected seconds, or { delay, reason }");
  const { delay, reason } = options;
  refuseUnknown(options, { delay, reason });
  if (delay !== undefined && typeof delay !== "number")
    throw invalidOption("delay", `expected seconds, got ${typeof delay}`);
  if (reason !== undefined && typeof reason !== "string")
    throw invalidOption("reason", `expected text, got ${typeof reason}`);
  return options;
}

export function releaseOf(message: HeldMessage, { delay = 0, reason }: ReleaseOptions): Release {
  const most = message.lease.secondsLeft;
  return { message, delay: Math.min(most, seconds(delay)), reason: reasonOf(reason) };
}

/** Whole seconds in the server's range, whatever a back-off function comes up with. */
function seconds(delay: number): number {
  return Math.min(43_200, Math.max(0, Math.ceil(delay) || 0));
}

/** In the server's rule for a reason, whatever an error says. */
function reasonOf(text: string | undefined): string | undefined {
  const oneLine = text
    ?.replaceAll(/[\p{Cc}\p{Cs}]+/gu, " ")
    .trim()
    .slice(0, maxReason);
  // The cut may have gone through a pair.
  return oneLine?.replace(/\p{Cs}$/u, "") || undefined;
}
