import { createLogger } from "@sluice/runtime";
import { Registry } from "prom-client";
import { expect, test } from "vitest";

import { messageMetrics } from "./metrics.ts";

const logger = createLogger({ name: "test", level: "silent" });

test("an age is absent until it is known, and while it is not known any more", async () => {
  const registry = new Registry();
  const observer = messageMetrics(registry, logger);
  const page = () => registry.metrics();
  const ages = /^sluice_(xmin|outbox_oldest_batch)_age_seconds /m;
  expect(await page()).not.toMatch(ages);
  observer.horizonHeld(0);
  observer.outboxWaits(12.5);
  expect(await page()).toMatch(/^sluice_xmin_age_seconds 0$/m);
  expect(await page()).toMatch(/^sluice_outbox_oldest_batch_age_seconds 12.5$/m);
  observer.horizonHeld(undefined);
  observer.outboxWaits(undefined);
  expect(await page()).not.toMatch(ages);
});
