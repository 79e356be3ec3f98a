import type { Config, ConfigSchema } from "./read-config.ts";
import * as variables from "./variables.ts";

/** What every process reads, and {@link runProcess} relies on. */
export const processConfig = {
  logLevel: variables.logLevel,
  logFormat: variables.logFormat,
  shutdownTimeout: variables.shutdownTimeout,
} satisfies ConfigSchema;

const storage = {
  databaseUrl: variables.databaseUrl,
  databasePool: variables.databasePool,
  traceHours: variables.traceHours,
  region: variables.region,
  account: variables.account,
} satisfies ConfigSchema;

const frontDoor = {
  host: variables.host,
  port: variables.port,
  maxConnections: variables.maxConnections,
  auth: variables.auth,
  secretsKey: variables.secretsKey,
} satisfies ConfigSchema;

/** Environment of the command that makes and disables access keys. */
export const accessKeyConfig = {
  databaseUrl: variables.databaseUrl,
  account: variables.account,
  secretsKey: variables.secretsKey,
} satisfies ConfigSchema;

const fanOut = {
  directFanOut: variables.directFanOut,
} satisfies ConfigSchema;

const guards = {
  deletedQueueNameGuard: variables.deletedQueueNameGuard,
  purgeGuard: variables.purgeGuard,
} satisfies ConfigSchema;

const metrics = {
  metricsToken: variables.metricsToken,
} satisfies ConfigSchema;

const notifications = {
  publicUrl: variables.publicUrl,
  signNotifications: variables.signNotifications,
} satisfies ConfigSchema;

/** Environment of `apps/api`. */
export const apiConfig = {
  ...storage,
  natsServers: variables.natsServers,
  natsPrefix: variables.natsPrefix,
  ...frontDoor,
  ...fanOut,
  ...guards,
  ...notifications,
  ...metrics,
  ...processConfig,
  shutdownDelay: variables.shutdownDelay,
} satisfies ConfigSchema;

/** Environment of `apps/dispatcher`. */
export const dispatcherConfig = {
  ...storage,
  natsServers: variables.natsServers,
  natsPrefix: variables.natsPrefix,
  host: variables.host,
  healthPort: variables.healthPort,
  queueMetrics: variables.queueMetrics,
  ...metrics,
  ...processConfig,
} satisfies ConfigSchema;

/** Environment of `apps/standalone`: API and dispatcher in one process, so no NATS and no second port. */
export const standaloneConfig = {
  ...storage,
  ...frontDoor,
  ...fanOut,
  ...guards,
  queueMetrics: variables.queueMetrics,
  ...notifications,
  ...metrics,
  ...processConfig,
} satisfies ConfigSchema;

export type ProcessConfig = Config<typeof processConfig>;
export type ApiConfig = Config<typeof apiConfig>;
export type DispatcherConfig = Config<typeof dispatcherConfig>;
export type StandaloneConfig = Config<typeof standaloneConfig>;
