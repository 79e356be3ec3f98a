import fc from "fast-check";
import { afterAll, expect, test } from "vitest";

import { TestApi } from "./api.ts";

const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);
const runs = Number(process.env["TEST_RUNS"] ?? 1_500);

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());
await api.ok("POST /v1/topics", { body: { name: "t" } });
await api.ok("POST /v1/queues", { body: { name: "q" } });
await api.ok("POST /v1/topics/t/subscriptions", { body: { queue: "q" } });
const messages = Array.from({ length: 5 }, () => ({ body: "m" }));
await api.ok("POST /v1/queues/q/messages", { body: { messages } });
const received = await api.ok<{ messages: { receiptHandle: string }[] }>(
  "POST /v1/queues/q/receive",
  {
    body: { maxMessages: 5 },
  },
);
const handles = received.messages.map(({ receiptHandle }) => receiptHandle);

/** Names that are there, names that are not, and names that cannot be. */
const name = fc.oneof(
  fc.constantFrom("t", "q", "new", "other"),
  fc.stringMatching(/^[A-Za-z0-9_-]{1,90}$/),
  fc.string({ unit: "binary", maxLength: 20 }),
);
const odd = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 0.5, 1e308, "", "\0", "\ud800", [], {}, "__proto__"),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: "binary" }),
);
/** Mostly what belongs there, sometimes anything. */
const mostly = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 9, arbitrary: value }, odd);

const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" }));
const attributes = fc.dictionary(
  fc.oneof(fc.constantFrom("a", "constructor", "toString", "AWS.x", "a..b"), text),
  mostly(
    fc.record({
      type: mostly(fc.constantFrom("String", "Number", "Binary", "String.x", "Text")),
      value: mostly(fc.oneof(text, fc.constantFrom("1", "1e5", "AAAA"))),
    }),
  ),
);
const tags = fc.dictionary(text, mostly(text));
const integer = fc.oneof(fc.integer({ min: -2, max: 50 }), fc.integer());
const handle = fc.oneof(
  fc.constantFrom(...handles),
  fc.constantFrom(...handles).map((token) => `${token.slice(0, -1)}B`),
  fc.stringMatching(/^[A-Za-z0-9_-]{49}$/),
  text,
);
const partly = <Fields>(fields: { [Key in keyof Fields]: fc.Arbitrary<Fields[Key]> }) =>
  fc.record(fields, { requiredKeys: [] });

const rule = mostly(
  fc.oneof(
    text,
    integer,
    partly({ prefix: mostly(text) }),
    partly({ wildcard: mostly(text) }),
    partly({ cidr: mostly(text) }),
    partly({ numeric: mostly(fc.array(mostly(fc.constantFrom<unknown>("=", ">", "<=", 1, 2)))) }),
    partly({ "anything-but": mostly(fc.array(mostly(text))) }),
    partly({ exists: mostly(fc.boolean()) }),
  ),
);
const filterPolicy = fc.dictionary(
  fc.oneof(fc.constantFrom("a", "$or", "constructor", "a.b", "__proto__"), text),
  mostly(fc.array(rule, { maxLength: 3 })),
  { maxKeys: 6 },
);

const bodies: Record<string, fc.Arbitrary<unknown>> = {
  "POST /v1/topics": partly({ name: mostly(name), tags: mostly(tags), x: odd }),
  "PATCH /v1/topics/:": partly({ tags: mostly(tags), name: odd }),
  "POST /v1/queues": partly({
    name: mostly(name),
    visibilityTimeout: mostly(integer),
    delay: mostly(integer),
    retention: mostly(integer),
    maxMessageSize: mostly(integer),
    receiveWait: mostly(integer),
    tags: mostly(tags),
  }),
  "PATCH /v1/queues/:": partly({
    visibilityTimeout: mostly(integer),
    delay: mostly(integer),
    retention: mostly(integer),
    tags: mostly(tags),
  }),
  "POST /v1/topics/:/subscriptions": partly({
    queue: mostly(name),
    filterPolicy: mostly(filterPolicy),
    filterPolicyScope: mostly(fc.constantFrom("MessageAttributes", "MessageBody")),
    rawDelivery: mostly(fc.boolean()),
    redrivePolicy: mostly(partly({ deadLetterQueue: mostly(name) })),
  }),
  "PATCH /v1/subscriptions/:": partly({
    filterPolicy: mostly(filterPolicy),
    filterPolicyScope: mostly(fc.constantFrom("MessageAttributes", "MessageBody")),
    redrivePolicy: mostly(partly({ deadLetterQueue: mostly(name) })),
  }),
  "POST /v1/topics/:/match": partly({
    message: mostly(partly({ body: mostly(text), attributes: mostly(attributes) })),
  }),
  "POST /v1/topics/:/messages": partly({
    messages: mostly(
      fc.array(
        mostly(
          partly({
            body: mostly(text),
            subject: mostly(text),
            groupId: mostly(text),
            attributes: mostly(attributes),
          }),
        ),
      ),
    ),
  }),
  "POST /v1/queues/:/messages": partly({
    messages: mostly(
      fc.array(
        mostly(
          partly({
            body: mostly(text),
            delay: mostly(fc.double()),
            attributes: mostly(attributes),
          }),
        ),
      ),
    ),
  }),
  "POST /v1/queues/:/receive": partly({
    maxMessages: mostly(integer),
    wait: fc.constantFrom<unknown>(0, -1, "0", null),
    visibilityTimeout: mostly(integer),
  }),
  "POST /v1/receive": partly({
    receives: mostly(
      fc.array(
        mostly(
          partly({
            queue: mostly(name),
            maxMessages: mostly(integer),
            acknowledge: mostly(partly({ receiptHandles: mostly(fc.array(mostly(handle))) })),
          }),
        ),
      ),
    ),
    wait: fc.constantFrom<unknown>(0, -1, "0", null),
  }),
  "POST /v1/queues/:/ack": partly({ receiptHandles: mostly(fc.array(mostly(handle))) }),
  "POST /v1/queues/:/visibility": partly({
    entries: mostly(
      fc.array(
        mostly(partly({ receiptHandle: mostly(handle), visibilityTimeout: mostly(integer) })),
      ),
    ),
  }),
};

const withBody = fc
  .constantFrom(...Object.keys(bodies))
  .chain((route) => fc.record({ route: fc.constant(route), body: bodies[route] ?? odd }));
const withoutBody = fc.record({
  route: fc.constantFrom(
    "GET /v1/topics",
    "GET /v1/queues",
    "GET /v1/subscriptions",
    "GET /v1/topics/:",
    "GET /v1/queues/:",
    "GET /v1/topics/:/subscriptions",
    "GET /v1/subscriptions/:",
    "DELETE /v1/subscriptions/:",
    "DELETE /v1/topics/:",
    "DELETE /v1/queues/:",
    "PUT /v1/queues/:",
    "GET /v1/:/:",
  ),
  body: fc.constant(undefined),
});
const call = fc.record({
  of: fc.oneof({ weight: 3, arbitrary: withBody }, withoutBody),
  names: fc.array(name, { minLength: 2, maxLength: 2 }),
  /** Of raw bytes at a place, instead of what is there. */
  damage: fc.option(
    fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      bytes: fc.uint8Array({ maxLength: 4 }),
    }),
    {
      freq: 6,
    },
  ),
  query: fc.option(
    fc.record({
      key: fc.constantFrom("limit", "cursor", "prefix", "x", "__proto__"),
      value: fc.oneof(fc.constantFrom("1", "0", "dA", "%00", "%ff", "a_b"), text.map(encoded)),
    }),
    { freq: 3 },
  ),
  idempotencyKey: fc.option(fc.stringMatching(/^[\x20-\x7e]{0,130}$/), { freq: 5 }),
});

test(
  `nothing that is asked makes the API fail (seed ${seed})`,
  { timeout: 60_000 + runs * 60 },
  async () => {
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(call, async ({ of, names, damage, query, idempotencyKey }) => {
        let next = 0;
        const path = of.route.replaceAll(/(?<=\/):/g, () => encoded(names[(next += 1) - 1] ?? ""));
        const route = query ? `${path}?${query.key}=${query.value}` : path;
        const { status } = await api.call(route, {
          ...(of.body !== undefined && { body: damaged(JSON.stringify(of.body), damage) }),
          headers: idempotencyKey === null ? {} : { "idempotency-key": idempotencyKey },
        });
        expect(status).toBeLessThan(500);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }),
      { seed, numRuns: runs },
    );
    // It got past the checks often enough to be worth its time.
    expect(statuses.get(200) ?? 0).toBeGreaterThan(runs / 150);
    expect(statuses.get(400) ?? 0).toBeGreaterThan(runs / 150);
  },
);

/** For a path or a query; half a surrogate pair has no encoding. */
function encoded(value: string): string {
  return encodeURIComponent(value.replaceAll(/\p{Cs}/gu, "?"));
}

function damaged(
  json: string,
  damage: { at: number; bytes: Uint8Array } | null,
): string | Uint8Array {
  if (!damage) return json;
  const bytes = Buffer.from(json);
  const at = Math.floor(damage.at * bytes.length);
  return Buffer.concat([
    bytes.subarray(0, at),
    damage.bytes,
    bytes.subarray(at + damage.bytes.length),
  ]);
}
