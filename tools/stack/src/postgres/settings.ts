/** Server settings by name. */
export type PostgresSettings = Record<string, string | number>;

/**
 * For a developer's machine of two cores: durable (fsync, full_page_writes and synchronous_commit stay on, which is
 * Postgres' default), with enough write-ahead log that a burst does not checkpoint every few seconds.
 */
export const DEVELOPMENT_SETTINGS: PostgresSettings = {
  max_connections: 100,
  shared_buffers: "256MB",
  wal_compression: "on",
  max_wal_size: "2GB",
  checkpoint_completion_target: 0.9,
  jit: "off", // every statement is short: compiling one costs more than running it
  random_page_cost: 1.1, // an SSD
};

/** For tests that lose nothing with a machine that crashes: no flush of anything to disk. */
export const VOLATILE_SETTINGS: PostgresSettings = {
  ...DEVELOPMENT_SETTINGS,
  shared_buffers: "128MB",
  fsync: "off",
  full_page_writes: "off",
};

/** What the rest of this package relies on: loopback TCP and nothing else, log lines in English. */
export const FIXED_SETTINGS: PostgresSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  lc_messages: "C",
  log_timezone: "UTC",
  timezone: "UTC",
  cluster_name: "sluice",
};

export function asArguments(settings: PostgresSettings): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
