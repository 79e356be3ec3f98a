import { invalidRequest } from "../errors.ts";

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
  { name: source, fifo }: { name: string; fifo: boolean },
  policy: RedrivePolicy,
  deadLetterQueue: { redriveAllow: RedriveAllowPolicy; fifo: boolean } | undefined,
): void {
  if (policy.deadLetterQueue === source) refuse("a queue cannot be its own dead-letter queue");
  if (!deadLetterQueue) refuse(`there is no queue "${policy.deadLetterQueue}"; create it first`);
  if (deadLetterQueue && deadLetterQueue.fifo !== fifo) {
    refuse(
      fifo
        ? "the dead-letter queue of a FIFO queue is a FIFO queue; name one that ends in .fifo"
        : "the dead-letter queue of a standard queue is a standard queue; name one without .fifo",
    );
  }
  const { permission, queues = [] } = deadLetterQueue?.redriveAllow ?? { permission: "allowAll" };
  if (permission === "denyAll" || (permission === "byQueue" && !queues.includes(source))) {
    refuse(
      `queue "${policy.deadLetterQueue}" does not take dead letters of "${source}" (redriveAllow)`,
    );
  }
}

function refuse(message: string): never {
  throw invalidRequest("redrive.deadLetterQueue", message);
}
