export type { Anomaly, AnomalyName } from "./check/anomaly.ts";
export { startProxy, type Proxy } from "./system/proxy.ts";
export type { ChaosReport } from "./report/report.ts";
export { Disk } from "./system/disk.ts";
