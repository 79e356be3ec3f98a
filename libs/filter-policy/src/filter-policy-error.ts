/** A policy that breaks a rule; `path` points into it (`store.0.anything-but`), the message says what to mend. */
export class FilterPolicyError extends Error {
  override readonly name = "FilterPolicyError";
  /** Empty when it is about the policy as a whole. */
  readonly path: string;

  constructor(path: readonly (string | number)[], message: string) {
    super(message);
    this.path = path.join(".");
  }
}
