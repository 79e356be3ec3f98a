import { expect, test } from "vitest";
import { recordedWebhooks } from "./webhooks.ts";

test("there are 329 real webhooks of 58 event types, 3.2 MB", () => {
  const webhooks = recordedWebhooks();
  expect(webhooks).toHaveLength(329);
  expect(new Set(webhooks.map(({ type }) => type)).size).toBe(58);
  expect(webhooks.reduce((sum, { print }) => sum + print.bytes, 0)).toBe(3_252_799);
});
