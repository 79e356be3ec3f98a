import type { ApiRequest } from "../connection.ts";
import { refuseUnknown } from "../options.ts";
import type { OptionNames } from "../options.ts";

/**
 * How a call of the admin client is made: the last parameter of each, but for those that iterate, whose options have
 * the same.
 */
export interface AdminCallOptions {
  /** Gives up the call, which throws `aborted`. It may have been carried out nevertheless. */
  readonly signal?: AbortSignal | undefined;
}

const names: OptionNames<AdminCallOptions> = { signal: true };

/** What the requests of a call have in common. */
export interface Call extends Pick<ApiRequest, "signal"> {
  readonly call: string;
}

/**
 * The call as it is made: errors have its name, `admin.queues.get`. Throws `invalid_request` for what is no option of a
 * call.
 */
export function callOf(name: string, options: AdminCallOptions): Call {
  refuseUnknown(options, names);
  return { call: name, signal: options.signal };
}
