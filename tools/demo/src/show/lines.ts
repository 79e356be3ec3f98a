import type { ConsumerFailure } from "@sluice/consumer";
import type { Incident } from "../measure/result.ts";
import type { Webhook } from "../webhooks.ts";
import { grouped } from "./table.ts";

/** `Publishing 329 GitHub webhooks of 58 event types (3.25 MB), 100 a second.` */
export function planLine(
  webhooks: readonly Webhook[],
  { rounds, rate }: { rounds: number; rate: number },
): string {
  const types = new Set(webhooks.map(({ type }) => type)).size;
  const bytes = rounds * webhooks.reduce((sum, { print }) => sum + print.bytes, 0);
  const messages = grouped(rounds * webhooks.length);
  const pace = rate === 0 ? "as fast as it goes" : `${grouped(rate)} a second`;
  const size = `${(bytes / 1e6).toFixed(2)} MB`;
  return `Publishing ${messages} GitHub webhooks of ${types} event types (${size}), ${pace}.`;
}

/** `dispatcher killed (SIGKILL) after message 110 of 329` */
export function incidentLine({ what, atMessage }: Incident, messages: number): string {
  const how = what.endsWith("killed") ? " (SIGKILL)" : "";
  return `  ${what}${how} after message ${grouped(atMessage)} of ${grouped(messages)}`;
}

/** What went wrong in a service without stopping it. */
export function failureLine({ stage, error, messages }: ConsumerFailure): string {
  const reason = error instanceof Error ? error.message : String(error);
  const about = messages.length === 0 ? "" : ` (${messages.length} messages)`;
  return `  ${stage} failed${about}: ${reason}`;
}
