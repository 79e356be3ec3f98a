import { administer } from "./admin.ts";
import { Client } from "./client.ts";
import { consume } from "./consumer.ts";
import { intrude } from "./intruder.ts";
import { publish } from "./publisher.ts";
import type { ClientSettings } from "./settings.ts";

/*
 * A client process of a chaos run. It says that it is ready, works until SIGUSR2 tells it that the workload is over,
 * then drains until SIGTERM ends it.
 */
const settings = JSON.parse(process.env["CHAOS_CLIENT"] ?? "") as ClientSettings;
const client = new Client(settings);
console.log(JSON.stringify({ event: "client.ready", url: "none" }));

switch (settings.role) {
  case "publisher":
    await publish(client);
    break;
  case "consumer":
    await consume(client);
    break;
  case "admin":
    await administer(client);
    break;
  case "intruder":
    await intrude(client);
    break;
  default:
    settings.role satisfies never;
    throw new Error("no such role");
}
if (!client.stopping.signal.aborted) {
  const alive = setInterval(() => {}, 60_000);
  await new Promise((resolve) => client.stopping.signal.addEventListener("abort", resolve));
  clearInterval(alive);
}
process.exit(0);
