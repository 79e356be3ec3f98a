import { format } from "node:util";
import { connect, createAdmin, json, queue } from "@sluice/client";
import type { Connection, SluiceError } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { codeOf, countsOf, empty, eventually, noting, queueOf } from "./consumer-setup.ts";
import { hangUp, json as answer, scriptedServer } from "./scripted-server.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

const fail = () => {
  throw new TypeError("not to be looked at");
};
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
/** What cannot be read, or not as an error is. */
const made: [string, () => unknown][] = [
  [
    "an error whose message throws",
    () => Object.defineProperty(new Error(), "message", { get: fail }),
  ],
  [
    "a Proxy whose traps throw",
    () => new Proxy({}, { get: fail, getPrototypeOf: fail, has: fail }),
  ],
  ["a Proxy that was revoked", revoked],
  ["an object without a prototype", () => Object.create(null) as object],
  ["an object whose text throws", () => ({ toString: fail })],
  ["a symbol", () => Symbol("s")],
];
const all = made.map(([, make]) => make);

describe("what a handler throws", () => {
  test.each(["run", "runBatches"] as const)("%s: is its failure, whatever it is", async (way) => {
    const numbers = await queueOf(connection, all.length);
    const { failures, options } = noting({ backoff: () => 60, batchSize: 1 });
    await using consumer = createConsumer(connection, numbers, options);
    const handle = ({ payload }: { payload: number }) => {
      throw all[payload]!();
    };
    if (way === "run") void consumer.run(handle);
    else void consumer.runBatches((messages) => messages.forEach(handle));
    await eventually(() => expect(failures).toHaveLength(all.length));
    await consumer.stop();
    expect(new Set(failures.map(({ stage }) => stage))).toEqual(new Set(["handle"]));
    expect(await countsOf(connection, numbers)).toEqual({ ...empty, inFlight: all.length });
    const reasons: (string | undefined)[] = [];
    for await (const { body, failureReason } of createAdmin(connection).queues.peek(numbers))
      reasons[Number(body)] = failureReason;
    expect(reasons).toEqual(["Error", undefined, undefined, undefined, undefined, "Symbol(s)"]);
  });

  test("is a line on the console of who does not listen, whatever it is", async () => {
    const numbers = await queueOf(connection, all.length);
    const lines: string[] = [];
    const written = vi
      .spyOn(console, "error")
      .mockImplementation((...given) => void lines.push(format(...given)));
    await using consumer = createConsumer(connection, numbers, { backoff: () => 60 });
    void consumer.run(({ payload }) => {
      throw all[payload]!();
    });
    await eventually(() => expect(lines).toHaveLength(all.length));
    await consumer.stop();
    written.mockRestore();
    const line = new RegExp(`^Sluice consumer of ${numbers.name}: handle failed `);
    expect(lines).toEqual(lines.map(() => expect.stringMatching(line) as string));
  });
});

test.each(made)("a consumer goes on when its listeners throw %s", async (_, make) => {
  const written = vi.spyOn(console, "error").mockReturnValue();
  const numbers = await queueOf(connection, 3);
  const raise = () => {
    throw make();
  };
  const consumer = createConsumer(connection, numbers, {
    onError: async () => raise(),
    onStateChange: raise,
    backoff: raise,
    concurrency: 1,
  });
  const seen = new Map<number, number>();
  await consumer.run(({ payload, receiveCount }) => {
    seen.set(payload, receiveCount);
    if (payload === 0 && receiveCount === 1) raise();
    if (seen.size === 3 && seen.get(0) === 2) void consumer.stop();
  });
  written.mockRestore();
  expect(await countsOf(connection, numbers)).toEqual(empty);
});

test.each([
  ["nothing", () => undefined],
  ["a symbol", () => Symbol("s")],
  ["a bigint", () => 1n],
  ["a promise", () => Promise.reject(new Error("nobody waits for it"))],
])("a back-off that returns %s is told of, and the default is kept", async (_, backoff) => {
  const numbers = await queueOf(connection, 1);
  const { failures, options } = noting({ backoff: backoff as () => never });
  const consumer = createConsumer(connection, numbers, options);
  await consumer.run(({ receiveCount }) => {
    if (receiveCount === 1) throw new Error("no luck");
    void consumer.stop();
  });
  expect(failures.map(({ stage, messages }) => [stage, messages.length])).toEqual([
    ["handle", 1],
    ["handle", 0],
  ]);
  expect(codeOf(failures[1]!)).toBe("invalid_request");
});

/** A schema that does so with whatever it is to look at. */
const schemaThat = (validate: (value: unknown) => unknown) => ({
  "~standard": { version: 1 as const, vendor: "test", validate: validate as never },
});

test.each([
  ...made.flatMap(([name, make]): [string, (value: unknown) => unknown][] => [
    [
      `throws ${name}`,
      () => {
        throw make();
      },
    ],
    [`rejects with ${name}`, () => Promise.reject(make() as Error)],
    [`has for an issue ${name}`, () => ({ issues: [make()] })],
  ]),
  ["returns nothing", () => undefined],
  ["has a symbol for a message", () => ({ issues: [{ message: Symbol("s") }] })],
  ["has an issue that is none", () => ({ issues: 1 })],
])("a schema that %s is a mismatch on both sides", async (_, validate) => {
  const name = unique("typed");
  await createAdmin(connection).queues.create(name);
  const typed = queue(name, schemaThat(validate));
  const producer = createProducer(connection);
  await expect(producer.send(typed, 1 as never)).rejects.toMatchObject({ code: "schema_mismatch" });
  await producer.send(queue(name), "1");
  const { failures, options } = noting({ backoff: () => 60 });
  await using consumer = createConsumer(connection, typed, options);
  void consumer.run(() => {});
  await eventually(() => expect(failures).toHaveLength(1));
  await consumer.stop();
  expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
    ["decode", "schema_mismatch"],
  ]);
});

describe("a call to the server", () => {
  const quick = { baseDelayMs: 1, maxDelayMs: 5 };
  const get = { method: "GET", path: "/v1/topics" } as const;

  test.each(made)("is repeated when its headers reject with %s", async (_, make) => {
    await using server = await scriptedServer(answer(200, {}));
    let asked = 0;
    const headers = async () => {
      asked += 1;
      if (asked === 1) throw make();
      return {};
    };
    await connect({ url: server.url, retry: quick, headers }).request(get);
    expect(asked).toBe(2);
  });

  test.each(made)("is repeated when its fetch rejects with %s", async (_, make) => {
    const fetch = vi
      .fn<typeof globalThis.fetch>()
      .mockImplementationOnce(() => Promise.reject(make() as Error))
      .mockResolvedValueOnce(new Response("{}"));
    await connect({ url: "http://sluice.test", retry: quick, fetch }).request(get);
    expect(fetch).toHaveBeenCalledTimes(2);
  });

  test.each(made)("is repeated when onRetry throws %s", async (_, make) => {
    const written = vi.spyOn(console, "error").mockReturnValue();
    await using server = await scriptedServer(hangUp, answer(200, {}));
    const onRetry = () => {
      throw make();
    };
    await connect({ url: server.url, retry: quick, onRetry }).request(get);
    written.mockRestore();
  });

  test.each(made)("is aborted for %s, which is its cause", async (_, make) => {
    const reason = make();
    const signal = AbortSignal.abort(reason);
    const call = connect({ url: "http://sluice.test" }).request({ ...get, signal });
    const error = await call.catch((thrown: unknown) => thrown as SluiceError);
    expect((error as SluiceError).code).toBe("aborted");
    expect((error as SluiceError).cause === reason).toBe(true);
  });
});

test("what cannot be shown is refused where a name, a declaration or an attribute is to be", async () => {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  expect(() => queue(1n as never)).toThrow(expect.objectContaining({ code: "invalid_name" }));
  const producer = createProducer(connection);
  await expect(producer.send(circular as never, "x")).rejects.toMatchObject({
    code: "invalid_request",
  });
  const attributes = { a: Object.create(null) as never };
  await expect(
    producer.send(queue("q", json<string>()), "x", { attributes }),
  ).rejects.toMatchObject({ code: "invalid_attribute" });
});
