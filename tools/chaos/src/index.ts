export type { Anomaly, AnomalyName } from "./check/anomaly.ts";
export type { ChaosReport } from "./report/report.ts";
