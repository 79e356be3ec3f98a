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
export { classifyFailure, isLockNotAvailable } from "./failure.ts";
export type { DatabaseFailure } from "./failure.ts";
export { inOneCommit, statement } from "./one-commit.ts";
export type { Statement } from "./one-commit.ts";
export { numbers, texts } from "./literals.ts";
export { migrate, UnsuitableDatabaseError } from "./migrate.ts";
export * as schema from "./schema/index.ts";
