/** What can go wrong with the local stack. */
export type StackErrorCode =
  | "already_running"
  | "child_failed"
  | "data_folder_denied"
  | "database_unusable"
  | "invalid_host"
  | "invalid_port"
  | "invalid_settings"
  | "nats_missing"
  | "password_lost"
  | "port_taken"
  | "postgres_missing";

/**
 * A failure of the local stack that a developer can act on: `message` says what happened, `hint` what to do next,
 * `output` holds the last lines of the program concerned.
 */
export class StackError extends Error {
  override readonly name = "StackError";
  readonly code: StackErrorCode;
  readonly hint: string | undefined;
  readonly output: readonly string[];

  constructor(
    code: StackErrorCode,
    message: string,
    details: { hint?: string; output?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.output = details.output ?? [];
  }
}
