import type { Address } from "../load/assignment.ts";
import type { Load } from "../load/load.ts";
import { BullMqClient } from "./bullmq/client.ts";
import type { Client } from "./client.ts";
import { JetStreamQueues } from "./jetstream/client.ts";
import { PgBossClient } from "./pg-boss/client.ts";
import { PgmqClient } from "./pgmq/client.ts";
import { RabbitMqClient } from "./rabbitmq/client.ts";
import { SluiceClient } from "./sluice/client.ts";

const clients: Record<string, (address: Address, load: Load) => Client | Promise<Client>> = {
  sluice: (address, load) => new SluiceClient(address, load),
  jetstream: async (address, load) => JetStreamQueues.open(address, load),
  "jetstream-sync": async (address, load) => JetStreamQueues.open(address, load),
  rabbitmq: async (address, load) => RabbitMqClient.open(address, load),
  "rabbitmq-quorum": async (address, load) => RabbitMqClient.open(address, load),
  pgmq: (address) => new PgmqClient(address),
  "pg-boss": async (address) => PgBossClient.open(address),
  bullmq: (address) => BullMqClient.open(address),
};

/** Connects to a system by its name. */
export async function openClient(system: string, address: Address, load: Load): Promise<Client> {
  const open = clients[system];
  if (open === undefined) throw new Error(`there is no client for "${system}"`);
  return open(address, load);
}
