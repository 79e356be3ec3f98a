export { checkWritable } from "./check-writable.ts";
export { connectDatabase } from "./connect.ts";
export { constant } from "./constant.ts";
export type {
  ControlPlane,
  Database,
  DatabaseOptions,
  Fragment,
  Query,
  Sql,
  Transaction,
} from "./connect.ts";
export { classifyFailure, isLockNotAvailable, isStatementCancelled } from "./failure.ts";
export type { DatabaseFailure } from "./failure.ts";
export { SharedConnection } from "./shared-connection.ts";
export type { Outcome } from "./shared-connection.ts";
export { statement, sendNothingBehind } from "./statement.ts";
export type { Statement } from "./statement.ts";
export { numbers, texts } from "./literals.ts";
export { migrate, UnsuitableDatabaseError } from "./migrate.ts";
export * as schema from "./schema/index.ts";
export { unsafeSettings } from "./unsafe-settings.ts";
