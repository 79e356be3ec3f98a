export { locateNats } from "./nats/locate.ts";
export { startNats, type NatsOptions, type NatsServer } from "./nats/nats.ts";
export { createTestDatabase, type TestDatabase } from "./postgres/database.ts";
export { startPostgres, type PostgresOptions, type PostgresServer } from "./postgres/postgres.ts";
export type { PostgresSettings } from "./postgres/settings.ts";
export { installClock } from "./postgres/test-clock.ts";
export {
  bearer,
  createAccessKey,
  disableAccessKey,
  type AccessKey,
  type Credentials,
  type KeyStore,
} from "./process/access-keys.ts";
export {
  startApi,
  startDispatcher,
  startStandalone,
  type BusServiceOptions,
  type ServiceOptions,
} from "./process/apps.ts";
export { startChild, type Child, type ChildExit, type ChildOptions } from "./process/child.ts";
export { Cleanup } from "./process/cleanup.ts";
export { freePort } from "./process/free-port.ts";
export {
  readyLine,
  startProcess,
  type ProcessOptions,
  type ServiceProcess,
} from "./process/service.ts";
export type { Progress } from "./progress.ts";
export { startStack, type Stack, type StackOptions } from "./stack.ts";
export { StackError, type StackErrorCode } from "./stack-error.ts";
export { temporaryFolder, type TemporaryFolder } from "./temporary-folder.ts";
