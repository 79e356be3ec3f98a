import { SluiceError } from "../errors.ts";

/**
 * How long a call may wait for what it is written with, in ms; a process that stood still may come to it after any
 * time. Its client has repeated it elsewhere by then, and the key of that is forgotten after five minutes.
 */
const MAX_WAIT = 150_000;

/** @param since - When it began to wait, by the clock of this process in ms. */
export function isTooLate(since: number): boolean {
  return performance.now() - since > MAX_WAIT;
}

export function tooLate(): SluiceError {
  return new SluiceError("unavailable", "the call has waited for too long, and was not written");
}
