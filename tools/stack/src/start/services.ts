import {
  startApi,
  startDispatcher,
  startStandalone,
  type ServiceOptions,
} from "../process/apps.ts";
import type { Cleanup } from "../process/cleanup.ts";
import type { ServiceProcess } from "../process/service.ts";
import { announced, type Announced } from "../progress.ts";
import type { Stack } from "../stack.ts";
import type { StartContext } from "./console.ts";
import type { Logs } from "./logs.ts";
import type { Ports } from "./ports.ts";

type AnnouncedService = Announced<ServiceProcess>;

export interface ServicesPlan {
  context: StartContext;
  ports: Ports;
  stack: Stack;
  logs: Logs;
  cleanup: Cleanup;
  signal: AbortSignal;
}

/**
 * Starts API and dispatcher, or both as one process where there is no NATS; the one that serves the API comes first.
 */
export function startServices(plan: ServicesPlan): Promise<ServiceProcess[]> {
  const { natsUrl } = plan.stack;
  return natsUrl ? startTwo(plan, natsUrl) : startBoth(plan);
}

async function startTwo(plan: ServicesPlan, natsUrl: string): Promise<ServiceProcess[]> {
  const { context, ports, cleanup } = plan;
  const { progress } = context;
  const startOne = async (label: string, work: () => Promise<ServiceProcess>) =>
    announced(progress, await progress.step(label, work, ({ url }) => `${label} on ${url}`));
  const [dispatcher, api] = await cleanup.useAll<[AnnouncedService, AnnouncedService]>([
    startOne("Dispatcher", () =>
      startDispatcher({ ...settings(plan, "dispatcher"), natsUrl, port: ports.health }),
    ),
    startOne("API", () => startApi({ ...settings(plan, "api"), natsUrl, port: ports.api })),
  ]);
  return [api.child, dispatcher.child];
}

async function startBoth(plan: ServicesPlan): Promise<ServiceProcess[]> {
  const { progress } = plan.context;
  const both = await progress.step(
    "API and dispatcher",
    () => startStandalone({ ...settings(plan, "standalone"), port: plan.ports.api }),
    ({ url }) => `API and dispatcher, as one process, on ${url}`,
  );
  return [plan.cleanup.use(announced(progress, both)).child];
}

function settings({ stack, logs, signal }: ServicesPlan, name: string): ServiceOptions {
  return { databaseUrl: stack.databaseUrl, onLine: (line) => logs.write(name, line), signal };
}
