export {
  ANOTHER_KEY,
  authenticationProblems,
  isLoopback,
  sealingKeyOf,
} from "./config/authentication.ts";
export {
  accessKeyConfig,
  apiConfig,
  dispatcherConfig,
  processConfig,
  standaloneConfig,
  type ApiConfig,
  type DispatcherConfig,
  type ProcessConfig,
  type StandaloneConfig,
} from "./config/processes.ts";
export { ConfigError, readConfig, type Config, type ConfigSchema } from "./config/read-config.ts";
export { shutdownProblems } from "./config/shutdown.ts";
export { configReference } from "./config/reference.ts";
export type { Variable } from "./config/variable.ts";
export { createLogger, type LogFields, type Logger, type LoggerOptions } from "./log/logger.ts";
export { messageOf } from "./log/describe-error.ts";
export { createMetrics, metricsPage, type MetricsPage } from "./metrics.ts";
export { runProcess, type ProcessContext, type ProcessOptions, type Stop } from "./run-process.ts";
export { untilAvailable, type UntilAvailableOptions } from "./until-available.ts";
export { createDuty, type Duty, type DutyOptions } from "./duty.ts";
export { failpoint, failpoints, type Failpoint } from "./failpoint.ts";
export { backoffDelay, type Backoff } from "./backoff.ts";
