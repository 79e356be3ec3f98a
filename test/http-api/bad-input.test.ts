import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { TestApi } from "./api.ts";

/** The subscription of billing to orders. */
const SUBSCRIPTION = "01234567-89ab-7def-8123-456789abcdef";

const api = await TestApi.start({ dispatchers: 0 });
afterAll(() => api[Symbol.asyncDispose]());

const MIB = 1024 * 1024;

let handle: string;
beforeAll(async () => {
  await api.ok("POST /v1/topics", { body: { name: "orders" } });
  await api.ok("POST /v1/queues", { body: { name: "billing", visibilityTimeout: 43_200 } });
  await api.ok("POST /v1/queues", { body: { name: "elsewhere" } });
  const subscription = { queue: "billing" };
  await api.ok("POST /v1/topics/orders/subscriptions", { body: subscription });
  await api.broker.sql`UPDATE subscriptions SET id = ${SUBSCRIPTION}`;
  const messages = [{ body: "held" }, { body: "held too" }];
  await api.ok("POST /v1/queues/billing/messages", { body: { messages } });
  const { messages: received } = await api.ok<{ messages: { receiptHandle: string }[] }>(
    "POST /v1/queues/billing/receive",
    { body: { maxMessages: 2 } },
  );
  handle = received[0]!.receiptHandle;
});

// A bad request changes nothing, whatever it is.
let before: string;
beforeEach(async () => {
  before = await api.fingerprint();
});
afterEach(async () => {
  expect(await api.fingerprint()).toBe(before);
});

/** Every endpoint that takes a body, with one that it would accept. */
const bodies: Record<string, () => Record<string, unknown>> = {
  "POST /v1/topics": () => ({ name: "new", tags: { a: "b" } }),
  "PATCH /v1/topics/orders": () => ({ tags: { a: "b" } }),
  "POST /v1/queues": () => ({ name: "new", delay: 1 }),
  "PATCH /v1/queues/billing": () => ({ delay: 1 }),
  "POST /v1/topics/orders/subscriptions": () => ({ queue: "elsewhere" }),
  [`PATCH /v1/subscriptions/${SUBSCRIPTION}`]: () => ({ rawDelivery: false }),
  "POST /v1/topics/orders/match": () => ({ message: { body: "m" } }),
  "POST /v1/topics/orders/messages": () => ({ messages: [{ body: "m" }] }),
  "POST /v1/queues/billing/messages": () => ({ messages: [{ body: "m" }] }),
  "POST /v1/queues/billing/receive": () => ({ maxMessages: 1 }),
  "POST /v1/receive": () => ({ receives: [{ queue: "billing" }] }),
  "POST /v1/queues/billing/ack": () => ({ receiptHandles: [handle] }),
  "POST /v1/queues/billing/visibility": () => ({
    entries: [{ receiptHandle: handle, visibilityTimeout: 1 }],
  }),
};

describe.each(Object.keys(bodies))("%s refuses", (route) => {
  const good = () => JSON.stringify(bodies[route]!());

  test.each<[string, () => string | Uint8Array]>([
    ["nothing", () => ""],
    ["blanks", () => " \n"],
    ["words", () => "hello"],
    ["half an object", () => good().slice(0, -1)],
    ["more than an object", () => `${good()}}`],
    ["two objects", () => good() + good()],
    ["single quotes", () => good().replaceAll('"', "'")],
    ["a comment", () => `/* */${good()}`],
    ["a trailing comma", () => good().replace(/\}$/, ",}")],
    ["a byte order mark", () => `\ufeff${good()}`],
    ["a line break inside a string", () => '{"a":"\n"}'],
    ["NaN", () => '{"delay":NaN}'],
    ["a form", () => "name=new&delay=1"],
    [
      "invalid UTF-8",
      () => Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff]), Buffer.from('"}')]),
    ],
    [
      "an overlong encoding",
      () => Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
    ],
    [
      "half a surrogate pair in UTF-8",
      () =>
        Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
    ],
    ["UTF-16", () => Buffer.from(good(), "utf16le")],
    ["compressed bytes", () => Buffer.from("1f8b0800000000000003", "hex")],
    ["nesting without end", () => "[".repeat(200_000)],
    ["deep arrays", () => `{"messages":${"[".repeat(40)}${"]".repeat(40)}}`],
    ["deep objects", () => `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`],
    ["the same key twice", () => good().replace(/^\{/, '{"x":1,"x":2,')],
    [
      "the same key twice, one of them escaped",
      () => good().replace(/^\{/, String.raw`{"x":1,"\u0078":2,`),
    ],
  ])("%s", async (_, body) => {
    expect(await api.refusal(route, { body: body() })).toBe("400 malformed_json");
  });

  test.each<[string, () => string]>([
    ["null", () => "null"],
    ["true", () => "true"],
    ["a number", () => "7"],
    ["a text", () => '"text"'],
    ["a list", () => `[${good()}]`],
    ["an object without what it needs, and with what it does not know", () => '{"nonsense":1}'],
    ["a field it does not know", () => good().replace(/^\{/, '{"unknown":1,')],
    ["an account", () => good().replace(/^\{/, '{"account":"000000000042",')],
    ["__proto__", () => good().replace(/^\{/, '{"__proto__":{"name":"x"},')],
    ["__proto__ escaped", () => good().replace(/^\{/, String.raw`{"\u005f_proto__":{},`)],
    ["constructor", () => good().replace(/^\{/, '{"constructor":{"prototype":{}},')],
    ["prototype", () => good().replace(/^\{/, '{"prototype":{},')],
    ["toString", () => good().replace(/^\{/, '{"toString":1,')],
    ["a key of a mebibyte", () => good().replace(/^\{/, `{"${"k".repeat(MIB)}":1,`)],
  ])("%s", async (_, body) => {
    const { status, body: answer } = await api.call(route, { body: body() });
    expect(status).toBe(400);
    expect(answer).toMatchObject({
      error: { code: "invalid_request", details: expect.any(Array) },
    });
    expect(JSON.stringify(answer).length).toBeLessThan(5_000);
  });

  test.each([
    ["no content type", { "content-type": "" }],
    ["text", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["a multipart form", { "content-type": "multipart/form-data; boundary=x" }],
    ["something that begins like JSON", { "content-type": "application/jsonp" }],
    ["something that ends like JSON", { "content-type": "text/json" }],
    ["AWS' JSON", { "content-type": "application/x-amz-json-1.0" }],
    ["gzip", { "content-encoding": "gzip" }],
    ["an encoding nobody has heard of", { "content-encoding": "nonsense" }],
  ])("a body that says it is %s", async (_, headers) => {
    expect(await api.refusal(route, { body: good(), headers })).toBe("415 unsupported_media_type");
  });

  test("a body that is too large, and one that says it is", async () => {
    const large = Buffer.alloc(16 * MIB + 1, " ");
    expect(await api.refusal(route, { body: large })).toBe("413 request_too_large");
    const headers = { "content-length": String(16 * MIB + 1) };
    expect(await api.refusal(route, { body: good(), headers })).toBe("413 request_too_large");
  });

  test("more keys or entries than any request has, before it looks at them", async () => {
    const keys = `{${Array.from({ length: 2_000 }, (_, index) => `"k${index}":1`).join()}}`;
    expect(await api.refusal(route, { body: keys })).toBe("400 invalid_request");
    const entries = `{"list":[${"0,".repeat(20_000)}0]}`;
    expect(await api.refusal(route, { body: entries })).toBe("400 invalid_request");
  });

  test("PUT, and says what to use instead", async () => {
    const { status, headers } = await api.call(route.replace(/^\w+/, "PUT"), { body: good() });
    expect(status).toBe(405);
    expect(headers.get("allow")?.split(", ")).toContain(route.split(" ")[0]);
  });
});

describe("names out of rule", () => {
  const outOfRule = ["", "a b", "a.b", "a/b", "ä", "a\u0000", "a\n", "*", ">", "😀"];

  test.each([...outOfRule, "a.fifo.fifo", "a.FIFO", "x".repeat(257)])("topic %j", async (name) => {
    expect(await api.refusal("POST /v1/topics", { body: { name } })).toBe("400 invalid_name");
  });

  test.each([
    ...outOfRule,
    ".fifo",
    "a.fifo.fifo",
    "a.FIFO",
    `${"x".repeat(76)}.fifo`,
    "x".repeat(81),
  ])("queue %j", async (name) => {
    expect(await api.refusal("POST /v1/queues", { body: { name } })).toBe("400 invalid_name");
    const subscribing = api.refusal("POST /v1/topics/orders/subscriptions", {
      body: { queue: name },
    });
    expect(await subscribing).toBe("400 invalid_name");
  });

  test.each([
    "a%20b",
    "a.b",
    "%00",
    "%0a",
    "%ff",
    "%",
    "a%2Fb",
    "%c3%a4",
    "x".repeat(300),
    "..%2f",
  ])("%s in a path", async (name) => {
    expect(await api.refusal(`GET /v1/topics/${name}`)).toBe("400 invalid_name");
    expect(await api.refusal(`DELETE /v1/topics/${name}`)).toBe("400 invalid_name");
    expect(await api.refusal(`GET /v1/queues/${name}`)).toBe("400 invalid_name");
    const receive = api.refusal(`POST /v1/queues/${name}/receive`, { body: {} });
    expect(await receive).toBe("400 invalid_name");
  });

  test.each([null, 7, true, [], ["a"], {}, { name: "a" }])("a name that is %j", async (name) => {
    expect(await api.refusal("POST /v1/topics", { body: { name } })).toBe("400 invalid_request");
    expect(await api.refusal("POST /v1/queues", { body: { name } })).toBe("400 invalid_request");
  });
});

describe("what is not there", () => {
  test.each([
    ["GET /v1/topics/nowhere", "topic_not_found"],
    ["DELETE /v1/topics/nowhere", "topic_not_found"],
    ["GET /v1/topics/nowhere/subscriptions", "topic_not_found"],
    ["GET /v1/topics/billing", "topic_not_found"],
    ["GET /v1/topics/Orders", "topic_not_found"],
    ["GET /v1/queues/nowhere", "queue_not_found"],
    ["GET /v1/queues/orders", "queue_not_found"],
    ["DELETE /v1/queues/nowhere", "queue_not_found"],
    ["GET /v1/subscriptions/00000000-0000-7000-8000-000000000000", "subscription_not_found"],
    ["DELETE /v1/subscriptions/00000000-0000-7000-8000-000000000000", "subscription_not_found"],
    ["GET /v1", "route_not_found"],
    ["GET /nothing", "route_not_found"],
    ["GET /v1/topics/orders/nothing", "route_not_found"],
    ["GET /docs/../app.ts", "route_not_found"],
    ["GET /docs/package.json", "route_not_found"],
    ["GET /docs/%2e%2e%2fpackage.json", "route_not_found"],
    ["GET /docs/constructor", "route_not_found"],
    ["GET /docs/__proto__", "route_not_found"],
    ["GET /docs/toString", "route_not_found"],
    ["GET /v1/topics/", "route_not_found"],
    ["GET /SimpleNotificationService-0123456789abcdef0123456789abcdef.pem", "route_not_found"],
    ["DELETE /SimpleNotificationService-0123456789abcdef0123456789abcdef.pem", "route_not_found"],
    ["GET /SimpleNotificationService-x.pem", "route_not_found"],
    ["GET //v1/topics", "route_not_found"],
  ])("%s is 404 %s", async (route, code) => {
    expect(await api.refusal(route)).toBe(`404 ${code}`);
  });

  test.each([
    ["PATCH /v1/topics/nowhere", { tags: {} }, "topic_not_found"],
    ["POST /v1/topics/nowhere/match", { message: { body: "m" } }, "topic_not_found"],
    [
      "PATCH /v1/subscriptions/00000000-0000-7000-8000-000000000000",
      { rawDelivery: true },
      "subscription_not_found",
    ],
    ["POST /v1/topics/nowhere/subscriptions", { queue: "billing" }, "topic_not_found"],
    ["POST /v1/topics/orders/subscriptions", { queue: "nowhere" }, "queue_not_found"],
    ["POST /v1/topics/nowhere/messages", { messages: [{ body: "m" }] }, "topic_not_found"],
    ["PATCH /v1/queues/nowhere", { delay: 1 }, "queue_not_found"],
    ["POST /v1/queues/nowhere/messages", { messages: [{ body: "m" }] }, "queue_not_found"],
    ["POST /v1/queues/nowhere/receive", {}, "queue_not_found"],
    ["POST /v1/queues/nowhere/ack", { receiptHandles: ["h"] }, "queue_not_found"],
    [
      "POST /v1/queues/nowhere/visibility",
      { entries: [{ receiptHandle: "h", visibilityTimeout: 1 }] },
      "queue_not_found",
    ],
  ])("%s %j is 404 %s", async (route, body, code) => {
    expect(await api.refusal(route, { body })).toBe(`404 ${code}`);
  });

  test.each(["x", "7", "00000000-0000-0000-0000-00000000000g", "%00", "null"])(
    "the subscription id %s is no UUID",
    async (id) => {
      expect(await api.refusal(`GET /v1/subscriptions/${id}`)).toBe("400 invalid_request");
      expect(await api.refusal(`DELETE /v1/subscriptions/${id}`)).toBe("400 invalid_request");
    },
  );
});

describe("filter policies", () => {
  test.each<[unknown, string]>([
    [{ store: "north" }, "filterPolicy.store"],
    [{ store: [] }, "filterPolicy.store"],
    [{ store: [{ like: "n" }] }, "filterPolicy.store.0.like"],
    [{ store: [{ prefix: 5 }] }, "filterPolicy.store.0.prefix"],
    [{ total: [{ numeric: [">", 1e10] }] }, "filterPolicy.total.0.numeric.1"],
    [{ order: { total: [1] } }, "filterPolicy.order"],
    [{ $or: [{ a: [1] }, { b: [] }] }, "filterPolicy.$or.1.b"],
    [Object.fromEntries("abcdef".split("").map((key) => [key, [1]])), "filterPolicy"],
    [{ store: Array(151).fill("x") }, "filterPolicy"],
    [{ store: ["x".repeat(300_000)] }, "filterPolicy"],
  ])("%j is refused at %s", async (filterPolicy, path) => {
    for (const [route, rest] of [
      ["POST /v1/topics/orders/subscriptions", { queue: "elsewhere" }],
      [`PATCH /v1/subscriptions/${SUBSCRIPTION}`, {}],
    ] as const) {
      const { status, body } = await api.call(route, { body: { ...rest, filterPolicy } });
      expect(status).toBe(400);
      expect(body).toMatchObject({ error: { code: "invalid_filter_policy", details: [{ path }] } });
    }
  });

  test.each<[string, unknown]>([
    ["filterPolicy", []],
    ["filterPolicy", "{}"],
    ["filterPolicy", 5],
    ["filterPolicyScope", "Body"],
    ["rawDelivery", "true"],
    ["redrivePolicy", "elsewhere"],
    ["redrivePolicy", { deadLetterQueue: "elsewhere", maxReceiveCount: 3 }],
    ["redrivePolicy", { deadLetterQueue: "nowhere" }],
    ["redrivePolicy", { deadLetterQueue: "billing" }],
    ["queue", "elsewhere"],
    ["topic", "orders"],
    ["id", SUBSCRIPTION],
  ])("a subscription is not changed to %s %j", async (field, value) => {
    const route = `PATCH /v1/subscriptions/${SUBSCRIPTION}`;
    expect(await api.refusal(route, { body: { [field]: value } })).toBe("400 invalid_request");
  });
});

test("an attribute that is nothing but its value, and shows how one is written", async () => {
  const messages = [{ body: "m", attributes: { store: "north" } }];
  const { status, body } = await api.call("POST /v1/topics/orders/messages", {
    body: { messages },
  });
  const [path, message] = [
    "messages.0.attributes.store",
    'expected {"type": "String", "value": "…"}; the type may be Number or Binary as well',
  ];
  expect({ status, body }).toEqual({
    status: 400,
    body: {
      error: {
        code: "invalid_request",
        message: `${path}: ${message}`,
        details: [{ path, message }],
      },
    },
  });
});

describe("numbers out of range", () => {
  const never = [
    "null",
    '"5"',
    "true",
    "[]",
    "{}",
    "-1",
    "0.5",
    "1e400",
    "-1e400",
    "1e15",
    "9007199254740993",
  ];

  test.each([
    ["visibilityTimeout", ["43201"]],
    ["delay", ["315360001"]],
    ["retention", ["0", "59", "1209601"]],
    ["maxMessageSize", ["0", "1023", "1048577"]],
    ["receiveWait", ["21"]],
  ])("of a queue's %s", async (field, others) => {
    for (const value of [...never, ...others]) {
      const create = { body: `{"name":"new","${field}":${value}}` };
      expect(await api.refusal("POST /v1/queues", create), value).toBe("400 invalid_request");
      const change = { body: `{"${field}":${value}}` };
      expect(await api.refusal("PATCH /v1/queues/billing", change), value).toBe(
        "400 invalid_request",
      );
    }
  });

  test.each([
    ["maxMessages", ["0", "1001"]],
    ["wait", ["21", "20.5"]],
    ["visibilityTimeout", ["43201"]],
  ])("of a receive's %s", async (field, others) => {
    for (const value of [...never, ...others]) {
      const call = { body: `{"${field}":${value}}` };
      expect(await api.refusal("POST /v1/queues/elsewhere/receive", call), value).toBe(
        "400 invalid_request",
      );
    }
  });

  test("of a new visibility timeout", async () => {
    for (const value of [...never, "43201", undefined]) {
      const timeout = value === undefined ? "" : `,"visibilityTimeout":${value}`;
      const call = { body: `{"entries":[{"receiptHandle":"${handle}"${timeout}}]}` };
      expect(await api.refusal("POST /v1/queues/billing/visibility", call), value).toBe(
        "400 invalid_request",
      );
    }
  });

  test("of a reason", async () => {
    for (const value of [
      "1",
      "null",
      '""',
      String.raw`"a\nb"`,
      String.raw`"\u0000"`,
      `"${"r".repeat(1_025)}"`,
    ]) {
      const entry = `{"receiptHandle":"${handle}","visibilityTimeout":0,"reason":${value}}`;
      const call = { body: `{"entries":[${entry}]}` };
      expect(await api.refusal("POST /v1/queues/billing/visibility", call), value).toBe(
        "400 invalid_request",
      );
    }
  });

  test("of whether it was received", async () => {
    const route = "POST /v1/queues/billing/visibility";
    for (const [timeout, value] of [
      [0, "null"],
      [0, '"false"'],
      [0, "0"],
      [1, "false"],
      [43_200, "false"],
    ] as const) {
      const entry = `{"receiptHandle":"${handle}","visibilityTimeout":${timeout},"received":${value}}`;
      const call = { body: `{"entries":[${entry}]}` };
      expect(await api.refusal(route, call), value).toBe("400 invalid_request");
    }
  });

  test("of a message's delay", async () => {
    for (const value of ["null", '"5"', "true", "-1", "-0.5", "1e400", "315360001"]) {
      const call = { body: `{"messages":[{"body":"m","delay":${value}}]}` };
      expect(await api.refusal("POST /v1/queues/billing/messages", call), value).toBe(
        "400 invalid_request",
      );
    }
  });

  test.each(["0", "1001", "-1", "1.5", "1e2", "x", "", "%31%00", "99999999999999999999"])(
    "of a page's limit: %s",
    async (limit) => {
      for (const list of ["topics", "queues", "subscriptions", "topics/orders/subscriptions"]) {
        expect(await api.refusal(`GET /v1/${list}?limit=${limit}`)).toBe("400 invalid_request");
      }
    },
  );
});

describe("lists", () => {
  test.each(["!", "YSBi", "AAAA", "", "x".repeat(600), "%00"])(
    "with the cursor %j",
    async (cursor) => {
      for (const list of ["topics", "queues", "subscriptions", "topics/orders/subscriptions"]) {
        expect(await api.refusal(`GET /v1/${list}?cursor=${cursor}`)).toBe("400 invalid_request");
      }
    },
  );

  test("of subscriptions with the cursor of another list", async () => {
    const cursor = Buffer.from("orders").toString("base64url");
    expect(await api.refusal(`GET /v1/subscriptions?cursor=${cursor}`)).toBe("400 invalid_request");
  });

  test.each(["%00", "%0a", "ä", "%ff", "a.b", "a%20b", "x".repeat(300)])(
    "with the prefix %s, which no name has",
    async (prefix) => {
      for (const list of ["topics", "queues"]) {
        expect(await api.refusal(`GET /v1/${list}?prefix=${prefix}`)).toBe("400 invalid_request");
      }
    },
  );

  test.each(["unknown=1", "__proto__=1", "constructor=1", "Limit=1"])(
    "with %s, which they do not know",
    async (query) => {
      for (const list of ["topics", "queues", "subscriptions", "topics/orders/subscriptions"]) {
        expect(await api.refusal(`GET /v1/${list}?${query}`)).toBe("400 invalid_request");
      }
    },
  );

  test("of subscriptions with a prefix", async () => {
    expect(await api.refusal("GET /v1/subscriptions?prefix=a")).toBe("400 invalid_request");
  });
});

describe("tags", () => {
  test.each<[string, unknown]>([
    ["null", null],
    ["a list", ["a"]],
    ["a text", "a"],
    ["a number as value", { a: 1 }],
    ["null as value", { a: null }],
    ["an object as value", { a: {} }],
    ["an empty key", { "": "v" }],
    ["a long key", { ["k".repeat(129)]: "v" }],
    ["a long value", { a: "v".repeat(257) }],
    ["AWS' own", { "aws:x": "v" }],
    ["AWS' own in capitals", { "AWS:x": "v" }],
    ["NUL in a value", { a: "\u0000" }],
    ["NUL in a key", { "\u0000": "v" }],
    ["half a surrogate pair in a value", { a: "\ud800" }],
    ["half a surrogate pair in a key", { "\udc00": "v" }],
    [
      "51 of them",
      Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`k${index}`, "v"])),
    ],
  ])("%s", async (_, tags) => {
    const refused = "400 invalid_request";
    expect(await api.refusal("POST /v1/topics", { body: { name: "new", tags } })).toBe(refused);
    expect(await api.refusal("PATCH /v1/topics/orders", { body: { tags } })).toBe(refused);
    expect(await api.refusal("POST /v1/queues", { body: { name: "new", tags } })).toBe(refused);
    expect(await api.refusal("PATCH /v1/queues/billing", { body: { tags } })).toBe(refused);
  });

  test("with what is wrong about the key", async () => {
    const { body } = await api.call("POST /v1/topics", {
      body: { name: "new", tags: { "aws:x": "v" } },
    });
    const message = "a tag key does not start with aws:";
    expect(body).toMatchObject({ error: { details: [{ path: "tags.aws:x", message }] } });
  });

  test("named __proto__", async () => {
    const body = '{"name":"new","tags":{"__proto__":"v"}}';
    expect(await api.refusal("POST /v1/topics", { body })).toBe("400 invalid_request");
  });
});

test("a change of nothing", async () => {
  expect(await api.refusal("PATCH /v1/queues/billing", { body: {} })).toBe("400 invalid_request");
  expect(await api.refusal("PATCH /v1/topics/orders", { body: {} })).toBe("400 invalid_request");
});

test("a change of a name", async () => {
  const body = { name: "other", delay: 1 };
  expect(await api.refusal("PATCH /v1/queues/billing", { body })).toBe("400 invalid_request");
});

test.each<[string, unknown, string, string]>([
  [
    "POST /v1/topics",
    { name: "new", tagz: {} },
    "tagz",
    "name, fifo, contentBasedDeduplication, fifoThroughputScope, maxMessageSize, archive, tags",
  ],
  [
    "POST /v1/queues",
    { name: "new", maxReceiveCount: 3 },
    "maxReceiveCount",
    "name, fifo, visibilityTimeout, delay, retention, maxMessageSize, receiveWait, redrive, redriveAllow, contentBasedDeduplication, deduplicationScope, fifoThroughputLimit, paused, tags",
  ],
  [
    "PATCH /v1/queues/billing",
    { redrive: { deadLetterQueu: "dead", maxReceiveCount: 3, deadLetterQueue: "dead" } },
    "redrive.deadLetterQueu",
    "deadLetterQueue, maxReceiveCount",
  ],
  [
    "PATCH /v1/queues/billing",
    { redriveAllow: { permission: "byQueue", queue: "a", queues: ["a"] } },
    "redriveAllow.queue",
    "permission, queues",
  ],
  [
    "POST /v1/queues/billing/messages",
    { messages: [{ body: "m" }, { body: "m", grouped: "g" }] },
    "messages.1.grouped",
    "body, attributes, groupId, deduplicationId, delay",
  ],
  [
    "POST /v1/queues/billing/ack",
    { receiptHandles: [], receiptHandle: "x" },
    "receiptHandle",
    "receiptHandles, receipts",
  ],
])(
  "an unknown field is named with those that there are: %s, %o",
  async (call, body, path, names) => {
    const message = `there is no such field, only ${names}`;
    const answered = await api.call(call, { body });
    expect(answered).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
    const { details } = (answered.body as { error: { details: unknown[] } }).error;
    expect(details).toContainEqual({ path, message });
  },
);

test("a field that is missing is said to be, beside one that is there instead", async () => {
  const call = "POST /v1/topics/orders/subscriptions";
  const missing = { path: "queue", message: "missing: expected string" };
  const { body: nothing } = await api.call(call, { body: {} });
  expect(nothing).toMatchObject({
    error: { message: "queue: missing: expected string", details: [missing] },
  });
  const { body: another } = await api.call(call, { body: { endpoint: "https://shop.example" } });
  expect(another).toMatchObject({
    error: {
      message: "queue: missing: expected string",
      details: [missing, { path: "endpoint", message: expect.stringContaining("only queue, ") }],
    },
  });
});

test("unknown fields are named one by one, ten at most, and not with a text of any length", async () => {
  const several = await api.call("PATCH /v1/queues/billing", { body: { delai: 1, retain: 2 } });
  expect(several.body).toMatchObject({
    error: {
      message: expect.stringMatching(/^delai: there is no such field, only visibilityTimeout, /),
      details: [{ path: "delai" }, { path: "retain" }, { path: "body" }],
    },
  });
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`k${index}`, 1]));
  const { body } = await api.call("PATCH /v1/queues/billing", { body: many });
  expect((body as { error: { details: unknown[] } }).error.details).toHaveLength(10);
  const long = await api.call("PATCH /v1/queues/billing", { body: { ["x".repeat(10_000)]: 1 } });
  expect(JSON.stringify(long.body).length).toBeLessThan(2_000);
  const query = await api.call("GET /v1/queues?limt=3");
  expect(query.body).toMatchObject({ error: { details: [{ path: "query.limt" }] } });
});

test("a topic or queue that exists with other settings, which are told with what they are", async () => {
  const topic = { body: { name: "orders", tags: { a: "b" }, archive: { days: 7 } } };
  expect(await api.call("POST /v1/topics", topic)).toMatchObject({
    status: 409,
    body: {
      error: {
        code: "topic_exists",
        message: expect.stringContaining("another tags, archive;"),
        details: [
          { path: "tags", message: 'is {}; asked for was {"a":"b"}' },
          { path: "archive", message: 'is null; asked for was {"days":7}' },
        ],
      },
    },
  });
  const queue = { body: { name: "billing", delay: 7 } };
  expect(await api.call("POST /v1/queues", queue)).toMatchObject({
    status: 409,
    body: {
      error: {
        code: "queue_exists",
        message: expect.stringContaining("another visibilityTimeout, delay;"),
        details: [
          { path: "visibilityTimeout", message: "is 43200; asked for was 30, the default" },
          { path: "delay", message: "is 0; asked for was 7" },
        ],
      },
    },
  });
});

describe.each(["topics/orders", "queues/billing"])("messages for %s", (target) => {
  const route = `POST /v1/${target}/messages`;

  test.each<[string, unknown]>([
    ["none", []],
    ["null", null],
    ["an object", {}],
    ["a text", "m"],
    ["null among them", [{ body: "m" }, null]],
    ["a text among them", ["m"]],
    ["no body", [{}]],
    ["a body that is null", [{ body: null }]],
    ["a body that is a number", [{ body: 7 }]],
    ["a body that is an object", [{ body: { a: 1 } }]],
    ["an unknown field", [{ body: "m", unknown: 1 }]],
    ["an id of its own", [{ body: "m", messageId: "x" }]],
    ["attributes that are a list", [{ body: "m", attributes: [] }]],
    ["an attribute that is a text", [{ body: "m", attributes: { a: "v" } }]],
    ["an attribute without a value", [{ body: "m", attributes: { a: { type: "String" } } }]],
    [
      "an attribute with a number",
      [{ body: "m", attributes: { a: { type: "Number", value: 1 } } }],
    ],
    [
      "an attribute with an unknown field",
      [{ body: "m", attributes: { a: { type: "String", value: "v", x: 1 } } }],
    ],
    ["an empty group", [{ body: "m", groupId: "" }]],
    ["a group with a blank", [{ body: "m", groupId: "a b" }]],
    ["a group with a line break", [{ body: "m", groupId: "a\n" }]],
    ["a long group", [{ body: "m", groupId: "g".repeat(129) }]],
    ["more than 1,000", Array.from({ length: 1_001 }, () => ({ body: "m" }))],
  ])("%s", async (_, messages) => {
    expect(await api.refusal(route, { body: { messages } })).toBe("400 invalid_request");
  });

  test("an attribute named __proto__", async () => {
    const body =
      '{"messages":[{"body":"m","attributes":{"__proto__":{"type":"String","value":"v"}}}]}';
    expect(await api.refusal(route, { body })).toBe("400 invalid_request");
  });

  test("as many as a body can hold, in a moment", async () => {
    const body = `{"messages":[${"0,".repeat(7 * MIB)}0]}`;
    expect(await api.refusal(route, { body })).toBe("400 invalid_request");
  });

  test("the mistakes are named by their paths, ten at most", async () => {
    const one = await api.call(route, { body: { messages: [{ body: "m" }, { body: 7, x: 1 }] } });
    expect(one.body).toMatchObject({
      error: { details: [{ path: "messages.1.body" }, { path: "messages.1.x" }] },
    });
    const messages = Array.from({ length: 100 }, () => 7);
    const { body } = await api.call(route, { body: { messages } });
    expect((body as { error: { details: unknown[] } }).error.details).toHaveLength(10);
  });

  test("together above 4 MiB, in their bodies or in their attributes", async () => {
    const body = "x".repeat(200_000);
    const large = Array.from({ length: 22 }, () => ({ body }));
    expect(await api.refusal(route, { body: { messages: large } })).toBe("413 request_too_large");
    const attributes = { a: { type: "String", value: body } };
    const hidden = Array.from({ length: 22 }, () => ({ body: "m", attributes }));
    expect(await api.refusal(route, { body: { messages: hidden } })).toBe("413 request_too_large");
  });

  test.each(["", "x".repeat(129), "ä", "a\tb"])("under the Idempotency-Key %j", async (key) => {
    const call = { body: { messages: [{ body: "m" }] }, headers: { "idempotency-key": key } };
    expect(await api.refusal(route, call)).toBe("400 invalid_request");
  });

  test("that each break a rule are refused each", async () => {
    const messages = [
      { body: "" },
      { body: "\u0000" },
      { body: "x\ud800" },
      { body: "m", attributes: { "AWS.x": { type: "String", value: "v" } } },
      { body: "m", attributes: { a: { type: "Text", value: "v" } } },
      { body: "m", attributes: { a: { type: "Number", value: "many" } } },
      { body: "m", attributes: { a: { type: "Binary", value: "?" } } },
      { body: "m", attributes: { a: { type: "String", value: "" } } },
      {
        body: "m",
        attributes: Object.fromEntries(
          Array.from({ length: 11 }, (_, index) => [`a${index}`, { type: "String", value: "v" }]),
        ),
      },
      { body: "x".repeat(1_048_577) },
    ];
    const { status, body } = await api.call(route, { body: { messages } });
    expect(status).toBe(200);
    const codes = (body as { results: { error: { code: string } }[] }).results.map(
      ({ error }) => error.code,
    );
    expect(codes).toEqual([
      ...Array.from({ length: 3 }, () => "invalid_message"),
      ...Array.from({ length: 6 }, () => "invalid_attribute"),
      "message_too_large",
    ]);
  });
});

test.each(["a\nb", "a\rb", "a\u0000", "a\u2028b", "\u007f", "\ud800", "", "x".repeat(100)])(
  "the subject %j",
  async (subject) => {
    const body = { messages: [{ body: "m", subject }] };
    expect(await api.refusal("POST /v1/topics/orders/messages", { body })).toBe(
      "400 invalid_request",
    );
  },
);

test("a delay for a topic, a subject for a queue", async () => {
  const delayed = { messages: [{ body: "m", delay: 1 }] };
  const route = "POST /v1/topics/orders/messages";
  expect(await api.refusal(route, { body: delayed })).toBe("400 invalid_request");
  const titled = { messages: [{ body: "m", subject: "s" }] };
  const other = "POST /v1/queues/billing/messages";
  expect(await api.refusal(other, { body: titled })).toBe("400 invalid_request");
});

describe("receipt handles", () => {
  /** Each call that takes handles, with these. */
  const calls = (handles: unknown[]): [string, unknown][] => [
    ["POST /v1/queues/billing/ack", { receiptHandles: handles }],
    [
      "POST /v1/queues/billing/visibility",
      { entries: handles.map((receiptHandle) => ({ receiptHandle, visibilityTimeout: 0 })) },
    ],
  ];

  const forged: [string, () => string][] = [
    ["nothing", () => ""],
    ["a word", () => "hello"],
    ["one without its end", () => handle.slice(0, -1)],
    ["one with more at its end", () => `${handle}A`],
    ["one with padding", () => `${handle}=`],
    ["one with blanks", () => ` ${handle}`],
    [
      "one with another first character",
      () => (handle.startsWith("A") ? "B" : "A") + handle.slice(1),
    ],
    ["one with another MAC", () => `${handle.slice(0, 40)}AAAAAAAA${handle.at(-1)}`],
    ["one with a message that no slice has", () => `${handle.slice(0, -1)}_`],
    ["zeros", () => "A".repeat(49)],
    ["NUL", () => "\u0000".repeat(49)],
    ["half a surrogate pair", () => "\ud800"],
    ["1,024 characters", () => "A".repeat(1_024)],
    ["an old one of SQS", () => "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"],
  ];

  test.each(forged)("%s", async (_, token) => {
    for (const [route, body] of calls([handle, token()])) {
      const answer = await api.call(route, { body });
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({
        error: {
          code: "receipt_handle_invalid",
          details: [
            { path: expect.stringMatching(/^(receiptHandles\.1|entries\.1\.receiptHandle)$/) },
          ],
        },
      });
    }
  });

  test("one of another queue", async () => {
    for (const [route, body] of calls([handle])) {
      const elsewhere = route.replace("billing", "elsewhere");
      expect(await api.refusal(elsewhere, { body })).toBe("400 receipt_handle_invalid");
    }
  });

  test("one of another installation", async () => {
    await using other = await TestApi.start({ dispatchers: 0 });
    await other.ok("POST /v1/queues", { body: { name: "billing" } });
    const body = { messages: [{ body: "m" }] };
    await other.ok("POST /v1/queues/billing/messages", { body });
    const { messages } = await other.ok<{ messages: { receiptHandle: string }[] }>(
      "POST /v1/queues/billing/receive",
      { body: {} },
    );
    for (const [route, request] of calls([messages[0]!.receiptHandle])) {
      expect(await api.refusal(route, { body: request })).toBe("400 receipt_handle_invalid");
    }
  });

  test.each([null, 7, {}, [], true])("one that is %j", async (token) => {
    for (const [route, body] of calls([token])) {
      expect(await api.refusal(route, { body })).toBe("400 invalid_request");
    }
  });

  test("one that is longer than any", async () => {
    for (const [route, body] of calls(["A".repeat(1_025)])) {
      expect(await api.refusal(route, { body })).toBe("400 invalid_request");
    }
  });

  test("none, and more than 1,000", async () => {
    for (const count of [0, 1_001]) {
      for (const [route, body] of calls(Array.from({ length: count }, () => handle))) {
        expect(await api.refusal(route, { body })).toBe("400 invalid_request");
      }
    }
  });
});
