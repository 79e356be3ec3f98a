import type { Address } from "../load/assignment.ts";
import type { Load } from "../load/load.ts";
import type { Client } from "./client.ts";

type Open = (address: Address, load: Load) => Promise<Client>;

// Loaded when asked for: a process of the load needs one of them.
const jetstream: Open = async (address, load) =>
  (await import("./jetstream/client.ts")).JetStreamQueues.open(address, load);
const rabbitmq: Open = async (address, load) =>
  (await import("./rabbitmq/client.ts")).RabbitMqClient.open(address, load);

const sluice: Open = async (address, load) =>
  new (await import("./sluice/client.ts")).SluiceClient(address, load);

const pgmqClient = async (address: Address, by: "functions" | "layout") => {
  const [{ PgmqClient }, statements] = await Promise.all([
    import("./pgmq/client.ts"),
    import("./pgmq/statements.ts"),
  ]);
  return new PgmqClient(address, statements[by]);
};

const clients: Record<string, Open> = {
  sluice,
  "sluice-unbatched": sluice,
  jetstream,
  "jetstream-sync": jetstream,
  rabbitmq,
  "rabbitmq-quorum": rabbitmq,
  pgmq: async (address) => pgmqClient(address, "functions"),
  "pgmq-layout": async (address) => pgmqClient(address, "layout"),
  "pg-boss": async (address) => (await import("./pg-boss/client.ts")).PgBossClient.open(address),
  bullmq: async (address) => (await import("./bullmq/client.ts")).BullMqClient.open(address),
};

/** Connects to a system by its name. */
export async function openClient(system: string, address: Address, load: Load): Promise<Client> {
  const open = clients[system];
  if (open === undefined) throw new Error(`there is no client for "${system}"`);
  return open(address, load);
}
