import { bullmq } from "./bullmq/system.ts";
import { fauxqs } from "./fauxqs/system.ts";
import { jetstream, jetstreamSynced } from "./jetstream/system.ts";
import { pgBoss } from "./pg-boss/system.ts";
import { pgmq, pgmqLayout } from "./pgmq/system.ts";
import { rabbitmqClassic, rabbitmqQuorum } from "./rabbitmq/system.ts";
import { sluice, sluiceUnbatched } from "./sluice/system.ts";
import type { System } from "./system.ts";

/** Everything that can be measured; the first is what ratios refer to. Clients are in open-client.ts. */
export const systems: readonly System[] = [
  sluice,
  sluiceUnbatched,
  jetstream,
  jetstreamSynced,
  rabbitmqClassic,
  rabbitmqQuorum,
  pgmq,
  pgmqLayout,
  pgBoss,
  bullmq,
  fauxqs,
];
