import { expect, test } from "vitest";
import { connect } from "../connection.ts";
import { queue, topic } from "../declarations.ts";
import { json } from "../payload.ts";
import { createAdmin } from "./admin.ts";
import type { FilterPolicy } from "./filter-policy.ts";
import type { SubscriptionSettings } from "./subscriptions.ts";

test("types: a filter policy has the operators that there are", () => {
  const admin = createAdmin(connect({ url: "http://127.0.0.1:1" }));
  const { subscriptions } = admin;
  const orders = topic("orders", json<{ id: string }>());
  const known: FilterPolicy = { total: [1] };
  const settings = { filterPolicy: { store: ["north"], total: [{ numeric: [">=", 1] }] } } as const;
  const given: SubscriptionSettings = settings;
  const check = (parsed: FilterPolicy | null) => {
    void admin.subscribe("a", "b", {
      filterPolicy: {
        a: ["north", 100, true, null],
        b: [{ prefix: "no" }, { suffix: "th" }, { "equals-ignore-case": "N" }, { wildcard: "n*" }],
        c: [{ numeric: [">", 0, "<=", 150] }, { numeric: ["=", 1] }, { cidr: "10.0.0.0/8" }],
        d: [{ "anything-but": ["a", 1] }, { "anything-but": { prefix: ["a", "b"] } }],
        e: [{ exists: false }],
      },
    });
    void admin.subscribe(orders, queue("b", orders), {
      filterPolicyScope: "MessageBody",
      filterPolicy: {
        sale: { kind: ["refund"], $or: [{ total: [{ numeric: [">", 1] }] }, { prefix: ["a"] }] },
        $or: [{ a: { b: ["c"] } }, { d: [1], $or: [{ e: [2] }, { f: [3] }] }],
      },
    });
    // A key like any other, where its list holds no policies.
    void admin.subscribe("a", "b", { filterPolicy: { $or: ["x", { prefix: "y" }] } });
    void admin.subscribe("a", "b", { filterPolicy: null, rawDelivery: false });
    void admin.subscribe("a", "b", { filterPolicy: parsed });
    void admin.subscribe("a", "b", { filterPolicy: known });
    void admin.subscribe("a", "b", { filterPolicy: { [Math.random()]: ["x"] } });
    void admin.subscribe("a", "b", settings);
    const either = parsed ? { a: ["x"] } : { a: [{ prefix: "y" }] };
    void admin.subscribe("a", "b", { filterPolicy: either });
    void admin.subscribe("a", "b", { filterPolicy: either, rawDelivery: false });
    void subscriptions.create("a", "b", { filterPolicy: parsed ? either : null });
    void subscriptions.update("id", { filterPolicy: either });
    void subscriptions.update("id", given);
    void subscriptions.update("id", { filterPolicy: { total: [{ numeric: ["<", 1] }] } });
    // @ts-expect-error an operator that there is not
    void admin.subscribe("a", "b", { filterPolicy: { total: [{ numerik: [">=", 1] }] } });
    // @ts-expect-error an operator that there is not, of text
    void admin.subscribe("a", "b", { filterPolicy: { total: [{ prefiks: "x" }] } });
    // @ts-expect-error what cannot be turned round
    void admin.subscribe("a", "b", { filterPolicy: { t: [{ "anything-but": { numeric: [1] } }] } });
    // @ts-expect-error two bounds in the wrong order
    void admin.subscribe("a", "b", { filterPolicy: { t: [{ numeric: ["<", 1, ">", 0] }] } });
    // @ts-expect-error inside another key
    void admin.subscribe("a", "b", { filterPolicy: { sale: { total: [{ numerik: ["=", 1] }] } } });
    const nested = { $or: [{ a: [1] }, { total: [{ numerik: ["=", 1] }] }] } as const;
    // @ts-expect-error inside an alternative
    void admin.subscribe("a", "b", { filterPolicy: nested });
    const wrong = parsed ? { a: ["x"] } : { a: [{ numerik: ["=", 1] }] };
    // @ts-expect-error in one of two
    void subscriptions.update("id", { filterPolicy: wrong });
    // @ts-expect-error of a subscription that is created by its long name
    void subscriptions.create("a", "b", { filterPolicy: { total: [{ numerik: [1] }] } });
    // @ts-expect-error of one that is there
    void subscriptions.update("id", { filterPolicy: { total: [{ numerik: [1] }] } });
    const enveloped = { rawDelivery: false, filterPolicy: { t: [{ numerik: [1] }] } } as const;
    // @ts-expect-error of one that envelops
    void subscriptions.create("a", "b", enveloped);
  };
  expect(check).toBeTypeOf("function");
});
