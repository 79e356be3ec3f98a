import { joinNatsBus, type Bus } from "@sluice/bus";

import type { Start } from "./open-database.ts";

/**
 * Joins the other processes, now or as soon as NATS is there: without it messages are late by about a second, and
 * nothing else, so nobody has to wait for it to serve. The name is shown in its list of connections.
 */
export async function joinNats(
  { config, logger, signal }: Start<{ natsServers: string[]; natsPrefix: string }>,
  name: string,
): Promise<Bus> {
  const { natsServers: servers, natsPrefix: prefix } = config;
  return await joinNatsBus({ servers, name, logger, prefix, signal });
}
