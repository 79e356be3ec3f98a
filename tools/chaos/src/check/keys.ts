import type { Report } from "./anomaly.ts";
import type { Indexed } from "./indexed.ts";

/** Nobody gets in without an access key that is in use, and whoever has one does. */
export function checkKeys(index: Indexed, report: Report): void {
  for (const { request, outcome, client } of index.calls("knock")) {
    const { key } = request;
    if (key === "good" && outcome === "fail") report("good-key-refused", `to ${client}`);
    if (key !== "good" && outcome === "ok") report("let-in", `${client}, key: ${key}`);
  }
}
