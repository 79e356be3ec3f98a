import { setTimeout as sleep } from "node:timers/promises";

import type { Bus } from "@sluice/bus";
import { checkWritable, type Database } from "@sluice/database";
import {
  Engine,
  type AccessKeys,
  type EngineOptions,
  type NotificationOptions,
  type Observer,
} from "@sluice/engine";
import type { Logger } from "@sluice/runtime";
import type { Registry } from "prom-client";

import { createApi, type ApiOptions } from "./app.ts";
import { healthEndpoints } from "./health/health.ts";
import { requestMetrics } from "./metrics.ts";
import { pagesGuard } from "./pages.ts";
import { serve } from "./serve.ts";

export interface StartApiOptions {
  /** Migrated. */
  database: Database;
  bus: Bus;
  observer: Observer;
  metrics: Registry;
  logger: Logger;
  account: string;
  notifications?: Partial<NotificationOptions>;
  host: string;
  port: number;
  maxConnections?: number | undefined;
  /** How long it still serves whoever comes after it has said that it is about to stop, in ms. Default 0. */
  stopDelayMs?: number;
  accessKeys?: AccessKeys | undefined;
  metricsToken?: string | undefined;
  protocols?: ApiOptions["protocols"];
  directQueues: EngineOptions["directQueues"];
  guards?: EngineOptions["guards"];
}

export interface RunningApi {
  url: string;
  /** Answers what was accepted (waiting receives with nothing), then lets go. Database and bus stay open. */
  stop: () => Promise<void>;
}

/** Starts the API: engine, HTTP server, health. */
export async function startApi(options: StartApiOptions): Promise<RunningApi> {
  const { database, bus, observer, metrics, logger, account, notifications, host, port } = options;
  const { accessKeys, protocols = [], maxConnections, stopDelayMs = 0 } = options;
  let stopping = false;
  const engine = await Engine.open({
    database,
    bus,
    observer,
    directQueues: options.directQueues,
    guards: options.guards,
    ...(notifications && { notifications }),
  });
  const health = healthEndpoints({
    metrics,
    metricsToken: options.metricsToken,
    isStopping: () => stopping,
    checks: {
      postgres: () => checkWritable(database.probe),
      // Without hints everything still works, only later: a reason to look, not to take the process out of service.
    },
  });
  const api = createApi({
    engine,
    account,
    logger,
    health,
    accessKeys,
    guard: accessKeys ? undefined : pagesGuard({ host, publicUrl: notifications?.publicUrl }),
    protocols,
    onRequest: requestMetrics(metrics),
  });
  const server = await serve({
    fetch: api.fetch,
    direct: api.direct,
    host,
    port,
    maxConnections,
    onStandstill: (ms) => {
      logger.warn(
        { event: "api.stood-still", seconds: Math.round(ms / 1_000) },
        "the process stood still; its connections are closed, and what came over them meanwhile is dropped",
      );
    },
  });
  return {
    url: server.url,
    stop: async () => {
      stopping = true;
      server.sendElsewhere();
      // Waiting receives wait on: their clients would come back here for as long as the balancer has not looked.
      if (stopDelayMs > 0) await sleep(stopDelayMs);
      await server.close(() => {
        engine.receiver.close();
      });
      await engine.close();
    },
  };
}
