import { bench, describe } from "vitest";

import { compile } from "./compile.ts";
import { FilteredMessage } from "./filtered-message.ts";

// npx vitest bench --run --project libs/filter-policy

const policy = {
  store: ["north", "south", "east"],
  event: [{ prefix: "order-" }, { wildcard: "*-paid" }],
  total: [{ numeric: [">=", 100, "<", 10_000] }],
  customer: [{ "anything-but": ["test", "internal"] }],
  address: [{ cidr: "10.0.0.0/8" }, { exists: false }],
};
const filter = compile(policy, "MessageAttributes");
const body = JSON.stringify({
  order: { total: 250, items: Array.from({ length: 100 }, () => ({ name: "x".repeat(30) })) },
});
const message = new FilteredMessage({
  body,
  attributes: {
    store: { type: "String", value: "east" },
    event: { type: "String", value: "payment-paid" },
    total: { type: "Number", value: "250" },
    customer: { type: "String", value: "acme" },
  },
});

describe("one evaluation", () => {
  bench("of a policy with five keys on attributes", () => {
    filter.accepts(message);
  });

  const nested = compile({ order: { total: [{ numeric: [">", 100] }] } }, "MessageBody");
  bench("of a policy on a body that was parsed before", () => {
    nested.accepts(message);
  });

  bench("of a policy on a body of 5 KB, parsed for it", () => {
    nested.accepts(new FilteredMessage({ body, attributes: {} }));
  });
});
