import { expect, expectTypeOf, test } from "vitest";
import type { TracedDelivery, TracedSubscription } from "./messages.ts";

test("types: what a trace tells of a delivery goes by its state, and of its arrival by what brought it", () => {
  const check = (delivery: TracedDelivery) => {
    const { to, since, visibleAt, arrival } = delivery;
    expectTypeOf(to).toEqualTypeOf<string | null | undefined>();
    expectTypeOf(since).toEqualTypeOf<Date | undefined>();
    expectTypeOf(visibleAt).toEqualTypeOf<Date | undefined>();
    expectTypeOf(arrival?.from).toEqualTypeOf<string | null | undefined>();
    if (delivery.state === "deadLettered") {
      expectTypeOf(delivery.to).toEqualTypeOf<string | null>();
      expectTypeOf(delivery.since).toEqualTypeOf<Date>();
    }
    if (delivery.state === "inFlight") {
      expectTypeOf(delivery.visibleAt).toEqualTypeOf<Date>();
      expectTypeOf(delivery.receiveCount).toEqualTypeOf<number>();
      expectTypeOf(delivery.since).toEqualTypeOf<Date | undefined>();
    }
    if (arrival?.by === "deadLetter") expectTypeOf(arrival.from).toEqualTypeOf<string | null>();
    if (arrival?.by === "replay")
      expectTypeOf(arrival.subscription).toEqualTypeOf<TracedSubscription>();
    // @ts-expect-error no state of a delivery
    return delivery.state === "received";
  };
  expect(check).toBeTypeOf("function");
});
