import { awsProtocols } from "@sluice/aws-api";
import { AccessKeys } from "@sluice/engine";
import { startApi, type RunningApi, type StartApiOptions } from "@sluice/http-api";
import {
  ANOTHER_KEY,
  ConfigError,
  sealingKeyOf,
  type ApiConfig,
  type StandaloneConfig,
} from "@sluice/runtime";

/**
 * Starts the API with everything that is asked for by the environment, and with Amazon's protocols beside its own.
 * @throws {ConfigError} when SECRETS_KEY is not the one that the access keys were made with
 */
export async function openApi(
  config: Pick<ApiConfig, keyof ApiConfig & keyof StandaloneConfig>,
  parts: Pick<
    StartApiOptions,
    "database" | "bus" | "observer" | "metrics" | "logger" | "stopDelayMs"
  >,
): Promise<RunningApi> {
  const { account, host, port, maxConnections, region, publicUrl } = config;
  const sealingKey = sealingKeyOf(config);
  const accessKeys = sealingKey && new AccessKeys(parts.database, sealingKey);
  if (accessKeys && !(await accessKeys.fits())) throw new ConfigError([ANOTHER_KEY]);
  const api = await startApi({
    ...parts,
    account,
    host,
    port,
    maxConnections,
    accessKeys,
    metricsToken: config.metricsToken,
    notifications: { region, publicUrl, signed: config.signNotifications },
    directQueues: config.directFanOut,
    guards: { deletedQueueName: config.deletedQueueNameGuard, purge: config.purgeGuard },
    protocols: [awsProtocols({ region, accessKeys, publicUrl })],
  });
  parts.logger.info({ event: "api.listening", url: api.url }, "the API is ready");
  return api;
}
