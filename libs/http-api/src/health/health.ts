import { metricsPage } from "@sluice/runtime";
import { Hono } from "hono";
import type { Registry } from "prom-client";

import { isSecret } from "../authentication/is-secret.ts";

export interface HealthOptions {
  /** What must answer for this process to be ready, by name; each rejects when it does not. */
  checks: Record<string, () => Promise<unknown>>;
  metrics: Registry;
  /** Where there is one, the metrics are only for who sends it. */
  metricsToken?: string | undefined;
  /** Not ready any more: the process drains. */
  isStopping: () => boolean;
}

const CHECK_TIMEOUT = 2_000;
const BEARER = /^Bearer (\S+)$/i;

/** `/healthz` (the process lives), `/readyz` (it can serve) and `/metrics`, for the API and the dispatcher alike. */
export function healthEndpoints({
  checks,
  metrics,
  metricsToken,
  isStopping,
}: HealthOptions): Hono {
  const app = new Hono();
  app.get("/healthz", (c) => c.json({ status: "live" }));
  const parts = Object.entries(checks).map(
    ([name, check]) => [name, oneForAll(() => answers(check))] as const,
  );
  app.get("/readyz", async (c) => {
    if (isStopping()) return c.json({ status: "stopping" }, 503);
    const entries = await Promise.all(
      parts.map(async ([name, isUp]) => [name, await isUp()] as const),
    );
    const ready = entries.every(([, up]) => up);
    const states = Object.fromEntries(entries.map(([name, up]) => [name, up ? "up" : "down"]));
    return c.json({ status: ready ? "ready" : "not ready", ...states }, ready ? 200 : 503);
  });
  // Made for each of a thousand it kept all others waiting for 4 s.
  const page = oneForAll(() => metricsPage(metrics));
  app.get("/metrics", async (c) => {
    const [, given = ""] = BEARER.exec(c.req.header("authorization") ?? "") ?? [];
    if (metricsToken !== undefined && !isSecret(given, metricsToken)) {
      const message = "send the METRICS_TOKEN of this process: Authorization: Bearer <token>";
      return c.json({ error: { code: "unauthenticated", message } }, 401, {
        "www-authenticate": "Bearer",
      });
    }
    const { body, contentType } = await page();
    return new Response(body, { headers: { "content-type": contentType } });
  });
  return app;
}

/** Work that is done once for all who ask while it is under way, which anybody may. */
function oneForAll<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let underWay: Promise<Result> | undefined;
  return () => (underWay ??= work().finally(() => (underWay = undefined)));
}

async function answers(check: () => Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => {
      resolve(false);
    }, CHECK_TIMEOUT);
  });
  const result = await Promise.race([
    check().then(
      () => true,
      () => false,
    ),
    late,
  ]);
  clearTimeout(timer);
  return result;
}
