import { setTimeout as sleep } from "node:timers/promises";
import { connect, createAdmin, queue } from "@sluice/client";
import type { Connection, SluiceError } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import {
  codeOf,
  countsOf,
  empty,
  eventually,
  gate,
  noting,
  otherThanSlow,
  queueOf,
  range,
  unanswered,
} from "./consumer-setup.ts";
import { faultyProxy } from "./faulty-proxy.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** What an answer says of messages acknowledged with a receive. */
interface Told {
  acknowledged?: object[];
}

describe("with a handler", () => {
  test("each message is handled once with its parsed payload, and acknowledged", async () => {
    const orders = queue(unique("orders"), z.object({ id: z.int(), at: z.coerce.date() }));
    await createAdmin(connection).queues.create(orders);
    const at = new Date("2026-11-23T10:00:00Z");
    await createProducer(connection).sendAll(
      orders,
      range(500).map((id) => ({ id, at })),
    );
    const { failures, options } = noting({ concurrency: 20, batchSize: 50 });
    await using consumer = createConsumer(connection, orders, options);
    const seen: { id: number; at: Date }[] = [];
    void consumer.run(({ payload }) => seen.push(payload));
    await eventually(() => expect(seen).toHaveLength(500));
    await consumer.stop();
    expect(seen.map(({ id }) => id).sort((a, b) => a - b)).toEqual(range(500));
    expect(seen[0]?.at).toEqual(at);
    expect(failures).toEqual([]);
    expect(await countsOf(connection, orders)).toEqual(empty);
    expect(consumer.state).toBe("stopped");
  });

  test("no more than `concurrency` are handled and no more than `prefetch` wait", async () => {
    const numbers = await queueOf(connection, 40);
    const consumer = createConsumer(connection, numbers, {
      concurrency: 4,
      prefetch: 3,
      receivers: 2,
    });
    const { open, opened } = gate();
    let running = 0;
    let most = 0;
    const done: number[] = [];
    const run = consumer.run(async ({ payload }) => {
      most = Math.max(most, ++running);
      await opened;
      running--;
      done.push(payload);
    });
    await eventually(async () =>
      expect(await countsOf(connection, numbers)).toEqual({ visible: 33, inFlight: 7, delayed: 0 }),
    );
    // What was claimed for them may still be on its way to them.
    await eventually(() => expect(running).toBe(4));
    open();
    await eventually(() => expect(done).toHaveLength(40));
    await consumer.stop();
    await run;
    expect(most).toBe(4);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("with one at a time and no prefetch, messages come in order", async () => {
    const numbers = await queueOf(connection, 20);
    const consumer = createConsumer(connection, numbers, { concurrency: 1, prefetch: 0 });
    const seen: number[] = [];
    await consumer.run(({ payload }) => {
      if (seen.push(payload) === 20) void consumer.stop();
    });
    expect(seen).toEqual(range(20));
  });

  test("a failed message is reported and comes back after the back-off", async () => {
    const numbers = await queueOf(connection, 1);
    const { failures, options } = noting({ backoff: () => 0 });
    const consumer = createConsumer(connection, numbers, options);
    const counts: number[] = [];
    await consumer.run(({ receiveCount }) => {
      counts.push(receiveCount);
      if (receiveCount < 3) throw new Error(`no luck ${receiveCount}`);
      void consumer.stop();
    });
    expect(counts).toEqual([1, 2, 3]);
    expect(failures.map(({ stage, error }) => [stage, (error as Error).message])).toEqual([
      ["handle", "no luck 1"],
      ["handle", "no luck 2"],
    ]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("the back-off is asked with the receive count and kept", async () => {
    const numbers = await queueOf(connection, 1);
    const backoff = vi.fn(() => 60);
    const { failures, options } = noting({ backoff });
    const consumer = createConsumer(connection, numbers, options);
    await consumer.run(() => {
      void consumer.stop();
      throw new Error("later");
    });
    expect(backoff).toHaveBeenCalledExactlyOnceWith(1);
    expect(failures).toHaveLength(1);
    expect((await countsOf(connection, numbers)).visible).toBe(0);
  });

  test("a body that does not match is not handled, reported with its path and comes back", async () => {
    const name = unique("typed");
    await createAdmin(connection).queues.create(name);
    await createProducer(connection).sendAll(queue(name), ["{oops", '{"id":"x"}', '{"id":1}']);
    const { failures, options } = noting({ backoff: () => 60 });
    const consumer = createConsumer(connection, queue(name, z.object({ id: z.number() })), options);
    const handled: unknown[] = [];
    void consumer.run(({ payload }) => handled.push(payload));
    await eventually(() => expect(failures.length + handled.length).toBe(3));
    await consumer.stop();
    expect(handled).toEqual([{ id: 1 }]);
    expect(failures.map(({ stage }) => stage)).toEqual(["decode", "decode"]);
    expect(failures.map(codeOf)).toEqual(["schema_mismatch", "schema_mismatch"]);
    const paths = failures.map(({ error }) => (error as SluiceError).details[0]?.path);
    expect(new Set(paths)).toEqual(new Set(["payload", "payload.id"]));
    expect(failures.map(({ messages }) => messages[0]?.body).sort()).toEqual([
      '{"id":"x"}',
      "{oops",
    ]);
    const { visible, inFlight, delayed } = await countsOf(connection, { name });
    expect([visible, inFlight + delayed]).toEqual([0, 2]);
  });

  test("an acknowledgement that comes too late is reported and takes nothing from the new holder", async () => {
    const numbers = await queueOf(connection, 1, 1);
    const { failures, options } = noting({ autoExtend: false, concurrency: 1, prefetch: 0 });
    const late = createConsumer(connection, numbers, options);
    const { open, opened } = gate();
    const begun = gate();
    const counts: number[] = [];
    const first = late.run(({ receiveCount }) => {
      counts.push(receiveCount);
      begun.open();
      return opened;
    });
    await begun.opened;
    const next = createConsumer(connection, numbers, { visibilityTimeout: 30 });
    const again = gate();
    const taken = gate();
    const second = next.run(async ({ receiveCount }) => {
      counts.push(receiveCount);
      taken.open();
      await again.opened;
    });
    await taken.opened;
    expect(counts).toEqual([counts[0], counts[0]! + 1]);
    open();
    await late.stop();
    await first;
    expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
      ["acknowledge", "receipt_handle_expired"],
    ]);
    expect(failures[0]?.messages).toHaveLength(1);
    expect((await countsOf(connection, numbers)).inFlight).toBe(1);
    again.open();
    await next.stop();
    await second;
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("of messages acknowledged together only the one that others have is told as refused", async () => {
    const numbers = await queueOf(connection, 2);
    const { failures, options } = noting({ autoExtend: false });
    const late = createConsumer(connection, numbers, options);
    const { open, opened } = gate();
    const begun = gate();
    const first = late.runBatches(async (messages) => {
      // They were stored together, so their receipt handles are one but for its last character.
      expect(messages).toHaveLength(2);
      await messages[1]!.extend(1);
      begun.open();
      await opened;
    });
    await begun.opened;
    const next = createConsumer(connection, numbers);
    const again = gate();
    const taken = gate();
    const second = next.run(async () => {
      taken.open();
      await again.opened;
    });
    await taken.opened;
    open();
    await late.stop();
    await first;
    expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
      ["acknowledge", "receipt_handle_expired"],
    ]);
    expect(failures[0]?.messages.map(({ payload }) => payload)).toEqual([1]);
    expect(await countsOf(connection, numbers)).toEqual({ ...empty, inFlight: 1 });
    again.open();
    await next.stop();
    await second;
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("a handler is told when an outage has made its message visible to others", async () => {
    const numbers = await queueOf(connection, 1, 2);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting();
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const cutOff = gate();
    const told = gate();
    const healed = gate();
    let reason: unknown;
    const run = consumer.run(async ({ signal }) => {
      signal.addEventListener("abort", () => {
        reason = signal.reason;
        told.open();
      });
      proxy.down();
      cutOff.open();
      await told.opened;
      await healed.opened;
    });
    await cutOff.opened;
    const rival = createConsumer(connection, numbers, { visibilityTimeout: 30 });
    const taken = gate();
    const finish = gate();
    const second = rival.run(() => {
      taken.open();
      return finish.opened;
    });
    await taken.opened;
    await told.opened;
    proxy.up();
    healed.open();
    await consumer.stop();
    await run;
    expect(reason).toMatchObject({ code: "timeout" });
    const failed = failures.map((failure) => [failure.stage, codeOf(failure)]);
    expect(failed).toContainEqual(["extend", "timeout"]);
    expect(failed.at(-1)).toEqual(["acknowledge", "receipt_handle_expired"]);
    expect(await countsOf(connection, numbers)).toEqual({ visible: 0, inFlight: 1, delayed: 0 });
    finish.open();
    await rival.stop();
    await second;
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("what was fetched ahead of an outage is left to others when its time is over", async () => {
    const numbers = await queueOf(connection, 3, 2);
    await using proxy = await faultyProxy(sluice.url);
    const { options } = noting({ concurrency: 1, prefetch: 2 });
    await using consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const cutOff = gate();
    const begun: number[] = [];
    void consumer.run(async ({ payload, signal }) => {
      begun.push(payload);
      if (begun.length > 1) return;
      // One receive has brought all three.
      proxy.down();
      cutOff.open();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
    await cutOff.opened;
    await using rival = createConsumer(connection, numbers, { visibilityTimeout: 30 });
    const taken: number[] = [];
    void rival.run(({ payload }) => taken.push(payload));
    await eventually(() => expect(taken).toHaveLength(3));
    proxy.up();
    // Its receives find nothing of what it had, and its handlers are free.
    await rival.stop();
    await createProducer(connection).send(numbers, 3);
    await eventually(() => expect(begun).toHaveLength(2));
    expect(begun).toEqual([0, 3]);
    expect(taken.sort()).toEqual([0, 1, 2]);
  });

  test("a process that stood still hands out nothing that others may have by then", async () => {
    const numbers = await queueOf(connection, 3, 1);
    const { failures, options } = noting({ concurrency: 1, prefetch: 2 });
    const consumer = createConsumer(connection, numbers, options);
    const begun: { receiveCount: number; firstReceivedAt: Date }[] = [];
    let stoodStillAt = Infinity;
    const run = consumer.run(({ receiveCount, firstReceivedAt }) => {
      begun.push({ receiveCount, firstReceivedAt });
      if (begun.length > 1) return;
      // One receive has brought all three.
      stoodStillAt = Date.now();
      const woken = performance.now() + 1_100;
      while (performance.now() < woken);
    });
    await eventually(() => expect(begun.length).toBeGreaterThan(2));
    await consumer.stop();
    await run;
    // A receive of what no handler has seen does not count: one that counts as the first began later.
    for (const { receiveCount, firstReceivedAt } of begun.slice(1))
      if (receiveCount === 1) expect(firstReceivedAt.getTime()).toBeGreaterThan(stoodStillAt);
    expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toContainEqual([
      "extend",
      "timeout",
    ]);
  });

  test("an answer that comes later than its messages are hidden for is left to others", async () => {
    const numbers = await queueOf(connection, 1, 2);
    let receives = 0;
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const answer = await globalThis.fetch(input, init);
      if (!(input as string).endsWith("/receive") || ++receives > 1) return answer;
      const body = await answer.text();
      await eventually(async () => expect((await countsOf(connection, numbers)).visible).toBe(1));
      return new Response(body, answer);
    };
    const { failures, options } = noting({ wait: 1 });
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    const counts: number[] = [];
    await consumer.run(({ receiveCount }) => {
      counts.push(receiveCount);
      void consumer.stop();
    });
    // Once. Nobody has looked at what the first receive brought: it does not count, unless the next one comes before it
    // is given back.
    expect(counts).toHaveLength(1);
    expect(failures).not.toHaveLength(0);
    for (const failure of failures)
      expect([failure.stage, codeOf(failure)]).toEqual(["extend", "timeout"]);
  });

  test("the longest times are as much of them as is left of 12 hours from the receive", async () => {
    const numbers = await queueOf(connection, 3);
    const { failures, options } = noting({ backoff: () => 43_200 });
    const consumer = createConsumer(connection, numbers, options);
    const hidden: number[] = [];
    let handled = 0;
    await consumer.run(async (message) => {
      handled += 1;
      if (handled === 3) void consumer.stop();
      if (message.payload === 0) throw new Error("much later");
      if (message.payload === 1) return await message.release(43_200);
      await message.extend(43_200);
      await message.release(43_200);
    });
    expect(failures.map(({ stage }) => stage)).toEqual(["handle"]);
    for await (const { visibleAt } of createAdmin(connection).queues.peek(numbers))
      hidden.push((visibleAt.getTime() - Date.now()) / 1000);
    expect(hidden.map((seconds) => seconds > 43_000 && seconds < 43_200)).toEqual([
      true,
      true,
      true,
    ]);
  });

  test("a queue whose own timeout is 0 has its messages hidden while they are handled", async () => {
    const numbers = await queueOf(connection, 1, 0);
    const consumer = createConsumer(connection, numbers);
    let meanwhile: unknown;
    await consumer.run(async () => {
      meanwhile = await countsOf(connection, numbers);
      void consumer.stop();
    });
    expect(meanwhile).toEqual({ ...empty, inFlight: 1 });
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("a handler can acknowledge, release and extend by itself", async () => {
    const numbers = await queueOf(connection, 3);
    const { failures, options } = noting();
    const consumer = createConsumer(connection, numbers, options);
    let settled = 0;
    await consumer.run(async (message) => {
      if (message.payload === 0) {
        await message.ack();
        await message.ack();
        settled++;
        if (settled === 3) void consumer.stop();
        throw new Error("after the acknowledgement");
      }
      if (message.payload === 1) await message.release(60);
      if (message.payload === 2) await message.extend(120);
      settled++;
      if (settled === 3) void consumer.stop();
    });
    expect(failures.map(({ stage }) => stage)).toEqual(["handle"]);
    const { visible, inFlight, delayed } = await countsOf(connection, numbers);
    expect([visible, inFlight + delayed]).toEqual([0, 1]);
  });

  test.each([0, -1, 1.5, NaN, "60", 43_201])(
    "an extension by %s seconds is refused, and the message is held as before",
    async (seconds) => {
      const numbers = await queueOf(connection, 1);
      const { failures, options } = noting();
      const consumer = createConsumer(connection, numbers, options);
      let seen: unknown;
      await consumer.run(async (message) => {
        void consumer.stop();
        const refused = await message.extend(seconds as number).catch((error: unknown) => error);
        seen = { refused, counts: await countsOf(connection, numbers) };
      });
      expect(seen).toMatchObject({
        refused: { code: "invalid_request", details: [{ path: "extend" }] },
        counts: { visible: 0, inFlight: 1 },
      });
      expect(failures).toEqual([]);
      expect(await countsOf(connection, numbers)).toEqual(empty);
    },
  );

  test.each([
    ["no text as a reason", { reason: new Error("failed") }],
    ["no number as a delay", { delay: "60" }],
    ["an option that there is not", { visibilityTimeout: 60 }],
    ["null", null],
    ["text", "failed"],
  ])("a release with %s is refused, and the message is held as before", async (_, wrong) => {
    const numbers = await queueOf(connection, 1);
    const { failures, options } = noting();
    const consumer = createConsumer(connection, numbers, options);
    const codes: unknown[] = [];
    await consumer.run(async (message) => {
      void consumer.stop();
      await message.release(wrong as never).catch(({ code }: SluiceError) => codes.push(code));
    });
    expect(codes).toEqual(["invalid_request"]);
    expect(failures).toEqual([]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("what a failed handler threw, or a release says, is kept with the message", async () => {
    const numbers = await queueOf(connection, 5);
    const { options } = noting({ backoff: () => 60 });
    const consumer = createConsumer(connection, numbers, options);
    let seen = 0;
    await consumer.run(async (message) => {
      seen++;
      if (seen === 5) void consumer.stop();
      if (message.payload === 0) await message.release({ delay: 60, reason: "by hand" });
      if (message.payload === 1) throw new Error(`line\nbreak ${"x".repeat(2_000)}`);
      // oxlint-disable-next-line typescript/only-throw-error -- a handler may throw anything
      if (message.payload === 2) throw "a string";
      // oxlint-disable-next-line typescript/only-throw-error -- a handler may throw anything
      if (message.payload === 3) throw null;
      if (message.payload === 4) await message.release(60);
    });
    const reasons: Record<string, string | undefined> = {};
    for await (const { body, failureReason } of createAdmin(connection).queues.peek(numbers))
      reasons[body] = failureReason;
    expect(reasons).toEqual({
      0: "by hand",
      1: `line break ${"x".repeat(1_013)}`,
      2: "a string",
      3: undefined,
      4: undefined,
    });
  });
});

// Side by side, for they wait for long: a message that is hidden for a short time only may be lost by a process, or a
// database, that stands still for a moment.
describe.concurrent("with a handler that takes its time", () => {
  test("a message is hidden for as long as its handler runs", async () => {
    const numbers = await queueOf(connection, 3, 10);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting({ concurrency: 3 });
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const { open, opened } = gate();
    const handled: number[] = [];
    const run = consumer.run(async ({ payload }) => {
      await opened;
      handled.push(payload);
    });
    const other = vi.fn();
    await eventually(async () => expect((await countsOf(connection, numbers)).inFlight).toBe(3));
    await using rival = createConsumer(connection, numbers, { wait: 1 });
    void rival.run(other);
    // Each extension comes half a timeout after the last. One call extends all three.
    await eventually(() => expect(proxy.count("/visibility")).toBeGreaterThanOrEqual(3), 45_000);
    open();
    await consumer.stop();
    await run;
    expect(other).not.toHaveBeenCalled();
    expect(handled).toHaveLength(3);
    expect(otherThanSlow(failures)).toEqual([]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("more messages than a call takes are extended by several", async () => {
    const numbers = await queueOf(connection, 1_500, 20);
    const extended: number[] = [];
    const fetch: typeof globalThis.fetch = async (input, init) => {
      if ((input as string).endsWith("/visibility"))
        extended.push((JSON.parse(init?.body as string) as { entries: [] }).entries.length);
      return await globalThis.fetch(input, init);
    };
    const { failures, options } = noting({ concurrency: 1_500, prefetch: 0, batchSize: 1_000 });
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    const { open, opened } = gate();
    const run = consumer.run(() => opened);
    const total = () => extended.reduce((sum, size) => sum + size, 0);
    await eventually(() => expect(total()).toBeGreaterThanOrEqual(1_500), 45_000);
    open();
    await consumer.stop();
    await run;
    expect(Math.max(...extended)).toBeLessThanOrEqual(1_000);
    expect(otherThanSlow(failures)).toEqual([]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("an extension that is not answered is given up, and tried again in time", async () => {
    const numbers = await queueOf(connection, 1, 32);
    let extensions = 0;
    const fetch: typeof globalThis.fetch = async (input, init) => {
      if (!(input as string).endsWith("/visibility") || extensions++ > 0)
        return await globalThis.fetch(input, init);
      return await unanswered(init);
    };
    const { failures, options } = noting();
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    const { open, opened } = gate();
    const run = consumer.run(() => opened);
    await eventually(() => expect(extensions).toBeGreaterThan(1), 50_000);
    open();
    await consumer.stop();
    await run;
    expect(codeOf(failures[0]!)).toBe("timeout");
    expect(otherThanSlow(failures)).toEqual([]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("an extension that fails is tried again in time", async () => {
    const numbers = await queueOf(connection, 1, 24);
    await using proxy = await faultyProxy(sluice.url);
    proxy.fail("/visibility", "unavailable");
    const { failures, options } = noting();
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const { open, opened } = gate();
    const run = consumer.run(() => opened);
    await eventually(() => expect(proxy.count("/visibility")).toBe(2), 45_000);
    open();
    await consumer.stop();
    await run;
    expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
      ["extend", "unavailable"],
    ]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("an extension takes no longer than the connection lets any attempt take", async () => {
    const numbers = await queueOf(connection, 1, 20);
    const fetch: typeof globalThis.fetch = async (input, init) => {
      if (!(input as string).endsWith("/visibility")) return await globalThis.fetch(input, init);
      return await unanswered(init);
    };
    const hanging = connect({ url: sluice.url, fetch, timeoutMs: 4_000 });
    const { failures, options } = noting({ drainTimeoutMs: 0 });
    const consumer = createConsumer(hanging, numbers, options);
    const run = consumer.run(() => new Promise(() => {}));
    const hung = () => failures.find(({ stage }) => stage === "extend");
    await eventually(() => expect(hung()).toBeDefined(), 45_000);
    await consumer.stop();
    await run;
    // A quarter of what the message is hidden for is 5 s.
    expect(hung()?.error).toMatchObject({
      code: "timeout",
      message: expect.stringContaining("within 4000 ms"),
    });
  });

  test("a message that cannot be extended any further is still held, and given back when its handler fails", async () => {
    const numbers = await queueOf(connection, 1, 10);
    const refused = gate();
    const error = { code: "visibility_beyond_limit", message: "12 hours are over." };
    let extensions = 0;
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const isExtension = (input as string).endsWith("/visibility") && extensions++ === 0;
      if (!isExtension) return await globalThis.fetch(input, init);
      refused.open();
      return Response.json({ results: [{ error }] });
    };
    const { failures, options } = noting({ backoff: () => 0 });
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    const aborted: boolean[] = [];
    const run = consumer.run(async ({ signal, receiveCount }) => {
      if (receiveCount > 1) return void consumer.stop();
      await refused.opened;
      // By then the answer has been read.
      await countsOf(connection, numbers);
      aborted.push(signal.aborted);
      throw new Error("failed");
    });
    await run;
    expect(aborted).toEqual([false]);
    expect(extensions).toBe(2);
    expect(failures.map(({ stage }) => stage)).toEqual(["handle"]);
  });

  test("a receive may wait for longer than what it brings is hidden for", async () => {
    const numbers = await queueOf(connection, 0, 7);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting();
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const counts: number[] = [];
    const run = consumer.run(({ receiveCount }) => {
      counts.push(receiveCount);
      void consumer.stop();
    });
    await eventually(() => expect(proxy.count("/receive")).toBe(1));
    const asked = performance.now();
    await eventually(() => expect(performance.now() - asked).toBeGreaterThan(7_500));
    await createProducer(connection).send(numbers, 1);
    await run;
    expect(counts).toEqual([1]);
    expect(failures).toEqual([]);
  });

  test("a time that a handler has hidden its message for is kept, and extended at its end", async () => {
    const numbers = await queueOf(connection, 2, 1);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting({ visibilityTimeout: 12 });
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const { open, opened } = gate();
    const counts: number[] = [];
    const run = consumer.run(async (message) => {
      counts.push(message.receiveCount);
      await message.extend(message.payload === 0 ? 600 : 10);
      await opened;
    });
    // Two by hand; the short one is extended after five seconds, and six seconds later.
    await eventually(() => expect(proxy.count("/visibility")).toBeGreaterThanOrEqual(4), 45_000);
    const hidden: number[] = [];
    for await (const { body, visibleAt } of createAdmin(connection).queues.peek(numbers))
      hidden[Number(body)] = (visibleAt.getTime() - Date.now()) / 1000;
    expect(hidden[0]).toBeGreaterThan(500);
    expect(hidden[1]).toBeLessThan(30);
    open();
    await consumer.stop();
    await run;
    expect(counts).toEqual([1, 1]);
    expect(otherThanSlow(failures)).toEqual([]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("an extension that is on its way when a message is released does not take the delay back", async () => {
    const numbers = await queueOf(connection, 2, 20);
    const extending = gate();
    const extended = gate();
    const fetch: typeof globalThis.fetch = async (input, init) => {
      if (!(init?.body as string | undefined)?.includes('"visibilityTimeout":20}'))
        return await globalThis.fetch(input, init);
      extending.open();
      await sleep(500);
      const answer = await globalThis.fetch(input, init);
      extended.open();
      return answer;
    };
    const { failures, options } = noting({ backoff: () => 60 });
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    let begun = 0;
    const run = consumer.run(async (message) => {
      begun += 1;
      await extending.opened;
      if (message.payload === 0) throw new Error("failed");
      await message.release(60);
    });
    await extended.opened;
    await eventually(async () => {
      for await (const { visibleAt } of createAdmin(connection).queues.peek(numbers))
        expect(visibleAt.getTime() - Date.now()).toBeGreaterThan(30_000);
    });
    await consumer.stop();
    await run;
    expect(begun).toBe(2);
    expect(failures.map(({ stage }) => stage)).toEqual(["handle"]);
  });
});

describe("with a handler of batches", () => {
  test("batches hold up to batchSize, are handled by several receivers, and acknowledged with their next receives", async () => {
    const numbers = await queueOf(connection, 5_000);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting({ batchSize: 1_000, receivers: 3 });
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const seen: number[] = [];
    let batches = 0;
    await consumer.runBatches((messages) => {
      expect(messages.length).toBeLessThanOrEqual(1_000);
      batches++;
      seen.push(...messages.map(({ payload }) => payload));
      if (seen.length === 5_000) void consumer.stop();
    });
    expect(seen.sort((a, b) => a - b)).toEqual(range(5_000));
    expect(failures).toEqual([]);
    // The last ones have no receive to go with.
    expect(batches).toBeGreaterThanOrEqual(5);
    expect(proxy.count("/ack")).toBeLessThanOrEqual(3);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test.each(["cut", "unavailable", "lose answer"] as const)(
    "an acknowledgement whose receive meets the fault '%s' goes again with a call of its own",
    async (fault) => {
      const numbers = await queueOf(connection, 3, 1);
      await using proxy = await faultyProxy(sluice.url);
      proxy.fail("/receive", "pass", fault);
      const { failures, options } = noting({ batchSize: 1, receivers: 1 });
      const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
      const seen = new Set<number>();
      await consumer.runBatches((messages) => {
        for (const { payload } of messages) seen.add(payload);
        if (seen.size === 3) void consumer.stop();
      });
      expect(failures.map(({ stage }) => stage)).toEqual(["receive"]);
      // That one, and the last one, which has no receive to go with; another one where the process stood still between
      // a handler and the next receive.
      expect(proxy.count("/ack")).toBeGreaterThanOrEqual(2);
      expect(await countsOf(connection, numbers)).toEqual(empty);
    },
  );

  test("batches acknowledged with one receive are each told what became of theirs", async () => {
    const numbers = await queueOf(connection, 2);
    const error = { code: "receipt_handle_expired", message: "Received again." };
    let refused: unknown;
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const answer = await globalThis.fetch(input, init);
      if (!(input as string).endsWith("/receive")) return answer;
      const body = (await answer.json()) as Told & { results?: Told[] };
      const told = (body.results ?? [body]).find(({ acknowledged }) => acknowledged?.length === 2);
      refused ??= told;
      if (told !== undefined) told.acknowledged = [{ ok: true }, { error }];
      return Response.json(body);
    };
    const { failures, options } = noting({ batchSize: 1, receivers: 2, wait: 1 });
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    const { open, opened } = gate();
    const handled: number[] = [];
    const run = consumer.runBatches(async ([message]) => {
      if (handled.push(message!.payload) === 2) open();
      await opened;
    });
    await eventually(() => expect(refused).toBeDefined());
    await consumer.stop();
    await run;
    expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
      ["acknowledge", "receipt_handle_expired"],
    ]);
    expect(failures[0]?.messages.map(({ payload }) => payload)).toEqual([handled[1]]);
  });

  test("a message handled by itself is acknowledged with the receive that follows it", async () => {
    const numbers = await queueOf(connection, 50);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting({ batchSize: 10, concurrency: 1, prefetch: 0 });
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    let handled = 0;
    await consumer.run(() => {
      handled += 1;
      if (handled === 50) void consumer.stop();
    });
    expect(failures).toEqual([]);
    expect(proxy.count("/receive")).toBe(50);
    // After the last one there is none.
    expect(proxy.count("/ack")).toBe(1);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("any number of receivers is no leak to Node", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => void warnings.push(warning);
    process.on("warning", note);
    const numbers = await queueOf(connection, 100);
    const { options } = noting({ batchSize: 2, receivers: 20 });
    const consumer = createConsumer(connection, numbers, options);
    let left = 100;
    await consumer.runBatches((messages) => {
      left -= messages.length;
      if (left === 0) void consumer.stop();
    });
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });

  test("a batch that fails comes back, but for what its handler has settled", async () => {
    const numbers = await queueOf(connection, 10);
    const { failures, options } = noting({ batchSize: 10, backoff: () => 0 });
    const consumer = createConsumer(connection, numbers, options);
    const received: number[] = [];
    await consumer.runBatches(async (messages) => {
      received.push(...messages.map(({ payload }) => payload));
      if (messages[0]?.receiveCount === 1) {
        await Promise.all(messages.slice(0, 4).map((message) => message.ack()));
        throw new Error("the rest did not go in");
      }
      if (received.length === 16) void consumer.stop();
    });
    expect(received.slice(10).sort((a, b) => a - b)).toEqual(range(10).slice(4));
    expect(failures.map(({ stage, messages }) => [stage, messages.length])).toEqual([
      ["handle", 10],
    ]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("bodies of one batch whose schema takes its time are read many at once", async () => {
    const { name } = await queueOf(connection, 260);
    let underWay = 0;
    let most = 0;
    const schema = z.number().refine(async (value) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await sleep(5 - (value % 3));
      underWay -= 1;
      return value !== 7;
    });
    const { failures, options } = noting({ batchSize: 260, backoff: () => 60 });
    const consumer = createConsumer(connection, queue(name, schema), options);
    const batches: number[][] = [];
    await consumer.runBatches((messages) => {
      batches.push(messages.map(({ payload }) => payload));
      if (batches.flat().length === 259) void consumer.stop();
    });
    for (const batch of batches) expect(batch).toEqual(batch.toSorted((a, b) => a - b));
    expect(batches.flat().sort((a, b) => a - b)).toEqual(range(260).filter((n) => n !== 7));
    expect(failures.flatMap(({ messages }) => messages.map(({ body }) => body))).toEqual(["7"]);
    // Zod asks each check twice.
    expect(most).toBeGreaterThan(50);
    expect(most).toBeLessThanOrEqual(200);
  });

  test("what does not match is kept out of the batch", async () => {
    const name = unique("typed");
    await createAdmin(connection).queues.create(name);
    await createProducer(connection).sendAll(queue(name), ["1", "x", "3", '"4"', "5"]);
    const { failures, options } = noting({ backoff: () => 60 });
    const checked = z.number().refine(async (n) => n > 0);
    const consumer = createConsumer(connection, queue(name, checked), options);
    const handled: number[] = [];
    await consumer.runBatches((messages) => {
      handled.push(...messages.map(({ payload }) => payload));
      if (handled.length === 3) void consumer.stop();
    });
    expect(handled.sort()).toEqual([1, 3, 5]);
    expect(
      failures.map((failure) => [failure.stage, codeOf(failure), failure.messages.length]),
    ).toEqual([["decode", "schema_mismatch", 2]]);
  });
});

describe("as an iterator", () => {
  test("asking for the next message acknowledges the one before; leaving releases the current one", async () => {
    const numbers = await queueOf(connection, 5);
    const consumer = createConsumer(connection, numbers, { concurrency: 1, prefetch: 2 });
    const seen: number[] = [];
    for await (const { payload } of consumer) {
      seen.push(payload);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([0, 1, 2]);
    expect(consumer.state).toBe("stopped");
    expect(await countsOf(connection, numbers)).toEqual({ visible: 3, inFlight: 0, delayed: 0 });
  });

  test("what was fetched ahead and not handed out does not count as received", async () => {
    const dead = queue(unique("dead"));
    const jobs = queue(unique("jobs"));
    const { queues } = createAdmin(connection);
    await queues.create(dead);
    await queues.create(jobs, { redrive: { deadLetterQueue: dead.name, maxReceiveCount: 1 } });
    await createProducer(connection).sendAll(jobs, ["a", "b", "c", "d"]);
    const counts: number[] = [];
    for (let left = 4; left > 0; left--) {
      for await (const message of createConsumer(connection, jobs)) {
        counts.push(message.receiveCount);
        await message.ack();
        break;
      }
      // The open receive may get them before the server hears that it was given up; then that gives them back.
      await eventually(async () =>
        expect(await countsOf(connection, jobs)).toEqual({ ...empty, visible: left - 1 }),
      );
    }
    expect(counts).toEqual([1, 1, 1, 1]);
    expect(await countsOf(connection, dead)).toEqual(empty);
  });

  test("an acknowledged message stays so when the loop is left, by an error too", async () => {
    const numbers = await queueOf(connection, 2);
    const loop = async () => {
      for await (const message of createConsumer(connection, numbers)) {
        await message.ack();
        throw new Error("enough");
      }
    };
    await expect(loop()).rejects.toThrow("enough");
    // The open receive may get it before the server hears that it was given up; then that gives it back.
    await eventually(async () =>
      expect(await countsOf(connection, numbers)).toEqual({ visible: 1, inFlight: 0, delayed: 0 }),
    );
  });

  test("stop() ends the loop after the current message", async () => {
    const numbers = await queueOf(connection, 3);
    const consumer = createConsumer(connection, numbers);
    let seen = 0;
    for await (const _ of consumer) {
      seen++;
      void consumer.stop();
    }
    expect(seen).toBe(1);
    // The open receive may get it before the server hears that it was given up; then that gives it back.
    await eventually(async () =>
      expect(await countsOf(connection, numbers)).toEqual({ visible: 2, inFlight: 0, delayed: 0 }),
    );
  });

  test("what run() would reject with is thrown", async () => {
    const loop = async () => {
      for await (const _ of createConsumer(connection, queue(unique("gone"))))
        throw new Error("a message of no queue");
    };
    await expect(loop()).rejects.toMatchObject({ code: "queue_not_found" });
  });
});
