import { SluiceError } from "../errors.ts";

/** After how many receives a message goes to which queue. */
export interface RedrivePolicy {
  /** Name of a queue of the same account. */
  deadLetterQueue: string;
  /** 1-1,000 */
  maxReceiveCount: number;
}

/** Which queues may name this one as their dead-letter queue; `queues` (at most 10 names) with `byQueue` only. */
export interface RedriveAllowPolicy {
  permission: "allowAll" | "denyAll" | "byQueue";
  queues?: string[] | undefined;
}

/** @throws {SluiceError} `invalid_request` when `source` may not send its dead letters to that queue */
export function checkRedrive(
  source: string,
  policy: RedrivePolicy,
  deadLetterQueue: { redriveAllow: RedriveAllowPolicy } | undefined,
): void {
  if (policy.deadLetterQueue === source) refuse("a queue cannot be its own dead-letter queue");
  if (!deadLetterQueue) refuse(`there is no queue "${policy.deadLetterQueue}"; create it first`);
  const { permission, queues = [] } = deadLetterQueue?.redriveAllow ?? { permission: "allowAll" };
  if (permission === "denyAll" || (permission === "byQueue" && !queues.includes(source))) {
    refuse(
      `queue "${policy.deadLetterQueue}" does not take dead letters of "${source}" (redriveAllow)`,
    );
  }
}

function refuse(message: string): never {
  throw new SluiceError("invalid_request", `redrive.deadLetterQueue: ${message}`, {
    details: [{ path: "redrive.deadLetterQueue", message }],
  });
}
