export type { Bus, BusSubscription, Change, TakeOptions } from "./bus.ts";
export {
  createInProcessBus,
  InProcessHub,
  type InProcessBusOptions,
} from "./in-process/in-process-bus.ts";
export { connectNatsBus, joinNatsBus, type NatsBusOptions } from "./nats/nats-bus.ts";
