import { connectNatsBus, type Bus } from "@sluice/bus";
import { untilAvailable } from "@sluice/runtime";

import type { Start } from "./open-database.ts";

/** Waits for NATS and joins the other processes; the name is shown in its list of connections. */
export async function joinNats(
  { config, logger, signal }: Start<{ natsServers: string[]; natsPrefix: string }>,
  name: string,
): Promise<Bus> {
  const { natsServers: servers, natsPrefix: prefix } = config;
  return await untilAvailable("NATS", () => connectNatsBus({ servers, name, logger, prefix }), {
    logger,
    signal,
  });
}
