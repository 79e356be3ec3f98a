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
    startOne("API", () => startApi({ ...apiSettings(plan, "api"), natsUrl })),
  ]);
  return [api.child, dispatcher.child];
}

async function startBoth(plan: ServicesPlan): Promise<ServiceProcess[]> {
  const { progress } = plan.context;
  const both = await progress.step(
    "API and dispatcher",
    () => startStandalone(apiSettings(plan, "standalone")),
    ({ url }) => `API and dispatcher, as one process, on ${url}`,
  );
  return [plan.cleanup.use(announced(progress, both)).child];
}

function apiSettings(plan: ServicesPlan, name: string): ServiceOptions {
  const { api: port } = plan.ports;
  return { ...settings(plan, name), port, env: { SLUICE_PUBLIC_URL: publicUrl(plan) } };
}

/** Stands in what clients are sent: the port is often not the usual one. */
function publicUrl({ context: { env }, ports }: ServicesPlan): string {
  const host = env["HOST"] || "127.0.0.1";
  // Where it listens on every address, this one is known.
  const reached = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const name = reached.includes(":") ? `[${reached}]` : reached;
  return env["SLUICE_PUBLIC_URL"] || `http://${name}:${ports.api}`;
}

function settings({ stack, logs, signal }: ServicesPlan, name: string): ServiceOptions {
  return { databaseUrl: stack.databaseUrl, onLine: (line) => logs.write(name, line), signal };
}
