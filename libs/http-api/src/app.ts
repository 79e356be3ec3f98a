import { SluiceError, type AccessKeys, type Engine } from "@sluice/engine";
import type { Logger } from "@sluice/runtime";
import type { Context, Hono } from "hono";

import { addAcknowledgeEndpoint } from "./acknowledge/acknowledge.ts";
import { authenticate } from "./authentication/authentication.ts";
import { addCertificate } from "./certificate/certificate.ts";
import { directWay, type AnsweredRequest, type DirectWay } from "./direct-way.ts";
import { Api } from "./endpoint.ts";
import { errorResponse, isForTheLog, toSluiceError } from "./errors.ts";
import { addMatchEndpoint } from "./match/match.ts";
import { addWriteEndpoints } from "./messages/write.ts";
import { addQueueEndpoints } from "./queues/queues.ts";
import { addPeekEndpoint } from "./peek/peek.ts";
import type { Guard } from "./pages.ts";
import { inTurn, type Protocol } from "./protocol.ts";
import { addPurgeEndpoints } from "./purge/purge.ts";
import { addRedriveEndpoints } from "./redrive/redrive.ts";
import { addReplayEndpoints } from "./replay/replay.ts";
import { addReceiveTogetherEndpoint } from "./receive/receive-together.ts";
import { addReceiveEndpoint } from "./receive/receive.ts";
import { addReference } from "./reference/reference.ts";
import { addSubscriptionEndpoints } from "./subscriptions/subscriptions.ts";
import { addTopicEndpoints } from "./topics/topics.ts";
import { addTraceEndpoint } from "./trace/trace.ts";
import { addVisibilityEndpoint } from "./visibility/visibility.ts";

export interface ApiOptions {
  engine: Engine;
  /** The account that requests act for, twelve digits. */
  account: string;
  logger: Logger;
  /** `/healthz`, `/readyz`, `/metrics`; see healthEndpoints. */
  health: Hono;
  /** Who may call; absent: everybody, for `account`. */
  accessKeys?: AccessKeys | undefined;
  /** Says which calls must not count. */
  guard?: Guard | undefined;
  /** Other protocols on the same port. */
  protocols?: readonly Protocol[];
  /** Told about every request once it is answered. */
  onRequest?: (request: AnsweredRequest) => void;
}

/** The native API as a Hono app: every endpoint of `/v1`, its OpenAPI document, the reference and health. */
export function createApi(options: ApiOptions): Api & { direct: DirectWay } {
  const { engine, account, logger, health, accessKeys, guard, protocols = [], onRequest } = options;
  const api = new Api();
  const report = (error: unknown) => {
    if (toSluiceError(error).code === "unavailable")
      logger.warn(
        { event: "request.unavailable", err: error },
        "Postgres did not do what a request asked for",
      );
    else logger.error({ event: "request.failed", err: error }, "a request failed on our side");
  };

  api.use(async (c, next) => {
    const started = performance.now();
    c.set("engine", engine);
    c.set("account", account);
    c.set("report", report);
    c.set("guard", guard);
    await next();
    onRequest?.({
      method: c.req.method,
      route: routeOf(c.req.matchedRoutes),
      status: c.res.status,
      seconds: (performance.now() - started) / 1_000,
    });
  });

  if (guard) {
    api.use("/v1/*", async (c, next) => {
      const refusal = guard((name) => c.req.header(name));
      if (refusal) throw refusal;
      await next();
    });
  }
  if (accessKeys) api.use("/v1/*", authenticate(accessKeys));
  addTopicEndpoints(api);
  addQueueEndpoints(api);
  addSubscriptionEndpoints(api);
  addWriteEndpoints(api);
  addReceiveEndpoint(api);
  addReceiveTogetherEndpoint(api);
  addAcknowledgeEndpoint(api);
  addVisibilityEndpoint(api);
  addPurgeEndpoints(api);
  addPeekEndpoint(api);
  addRedriveEndpoints(api);
  addReplayEndpoints(api);
  addMatchEndpoint(api);
  addTraceEndpoint(api);
  addCertificate(api);
  addReference(api, accessKeys !== undefined);
  for (const protocol of protocols) protocol.addTo(api);
  api.route("/", health);

  api.notFound((c) => noSuchRoute(c, api));
  api.onError((error, c) => {
    const known = toSluiceError(error);
    if (isForTheLog(known)) report(error);
    return errorResponse(c, known);
  });
  const surroundings = { engine, account, report, guard, onRequest };
  const direct = inTurn([
    directWay(api.hotRoutes, { ...surroundings, accessKeys }),
    ...protocols.flatMap((protocol) => protocol.directWay?.(surroundings) ?? []),
  ]);
  return Object.assign(api, { direct });
}

/** The pattern that answered, for metrics: bounded, unlike paths. */
function routeOf(matched: readonly { path: string }[]): string {
  return matched.findLast(({ path }) => !path.includes("*"))?.path ?? "unknown";
}

function noSuchRoute(c: Context, api: Api): Response {
  const { method, path } = c.req;
  const allowed = methodsOf(path, api);
  if (allowed.length === 0 || allowed.includes(method)) {
    const message = "there is no such route; /docs lists them all";
    return errorResponse(c, new SluiceError("route_not_found", message));
  }
  const message = `${method} is not possible here; use ${allowed.join(" or ")}`;
  const response = errorResponse(c, new SluiceError("method_not_allowed", message));
  response.headers.set("allow", allowed.join(", "));
  return response;
}

function methodsOf(path: string, api: Api): string[] {
  const parts = path.split("/");
  const methods = api.routes
    .filter((route) => route.method !== "ALL" && fits(route.path.split("/"), parts))
    .map((route) => route.method);
  return [...new Set(methods)];
}

function fits(pattern: readonly string[], parts: readonly string[]): boolean {
  return (
    pattern.length === parts.length &&
    pattern.every((part, index) =>
      part.startsWith(":") ? parts[index] !== "" : part === parts[index],
    )
  );
}
