export { createApi, type ApiOptions } from "./app.ts";
export type { Api } from "./endpoint.ts";
export { healthEndpoints, type HealthOptions } from "./health/health.ts";
export { messageMetrics, requestMetrics } from "./metrics.ts";
export { serve, type HttpServer, type ServeOptions } from "./serve.ts";
export { startApi, type RunningApi, type StartApiOptions } from "./start-api.ts";
