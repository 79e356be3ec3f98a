import type { ConsumerFailure } from "@sluice/consumer";
import type { Tally } from "../measure/tally.ts";

/** What every service of the demo is given. */
export interface ServiceContext {
  /** Counts what the service receives and what it is done with. */
  readonly tally: Tally;
  /** Stops the service: it finishes what it has begun, acknowledges it, and returns. */
  readonly signal: AbortSignal;
  /** Told of what goes wrong on the way. */
  readonly onError: (failure: ConsumerFailure) => void;
}
