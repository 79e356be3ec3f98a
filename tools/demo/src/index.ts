export type {
  DemoResult,
  Incident,
  Left,
  PublishedResult,
  QueueResult,
  ServiceName,
} from "./measure/result.ts";
