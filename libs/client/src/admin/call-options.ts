import { refuseUnknown } from "../options.ts";
import type { OptionNames } from "../options.ts";

/** How a call of the admin client is made: the last parameter of each, but for those that iterate, whose options have the same. */
export interface AdminCallOptions {
  /** Gives up the call, which throws `aborted`. It may have been carried out nevertheless. */
  readonly signal?: AbortSignal | undefined;
}

const names: OptionNames<AdminCallOptions> = { signal: true };

/** Throws `invalid_request` for what is no option of a call. */
export function signalOf(call: AdminCallOptions): AbortSignal | undefined {
  refuseUnknown(call, names);
  return call.signal;
}
