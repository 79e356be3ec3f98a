import { setImmediate } from "node:timers/promises";
import { connect, createAdmin, queue } from "@sluice/client";
import type { Connection, QueueDeclaration } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { ConsumerState, ReceivedMessage } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  codeOf,
  countsOf,
  empty,
  eventually,
  gate,
  noting,
  queueOf,
  range,
} from "./consumer-setup.ts";
import { faultyProxy } from "./faulty-proxy.ts";
import { json, scriptedServer } from "./scripted-server.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** How often so many messages of a queue have been received, once they are received once more. */
async function receiveCountsOf(numbers: QueueDeclaration<never, number>, messages: number) {
  const consumer = createConsumer(connection, numbers);
  const counts: number[] = [];
  await consumer.run(({ receiveCount }) => {
    if (counts.push(receiveCount) === messages) void consumer.stop();
  });
  return [...new Set(counts)];
}

describe("stopping", () => {
  test("lets running handlers finish, gives back what was fetched, and resolves when the server knows", async () => {
    const numbers = await queueOf(connection, 20);
    const consumer = createConsumer(connection, numbers, { concurrency: 2, prefetch: 8 });
    const { open, opened } = gate();
    let handled = 0;
    const run = consumer.run(async () => {
      await opened;
      handled++;
    });
    await eventually(async () => expect((await countsOf(connection, numbers)).inFlight).toBe(10));
    const stopped = consumer.stop();
    expect(consumer.state).toBe("draining");
    await eventually(async () =>
      expect(await countsOf(connection, numbers)).toEqual({ visible: 18, inFlight: 2, delayed: 0 }),
    );
    open();
    await stopped;
    await run;
    expect(handled).toBe(2);
    expect(await countsOf(connection, numbers)).toEqual({ visible: 18, inFlight: 0, delayed: 0 });
    expect(await receiveCountsOf(numbers, 18)).toEqual([1]);
  });

  test("a handler that outlives the drain is told, and its message given back", async () => {
    const numbers = await queueOf(connection, 1);
    const { failures, options } = noting({ drainTimeoutMs: 50 });
    const consumer = createConsumer(connection, numbers, options);
    let message: ReceivedMessage<number> | undefined;
    const { open, opened } = gate();
    const run = consumer.run(async (received) => {
      message = received;
      expect(received.signal.aborted).toBe(false);
      await opened;
    });
    await eventually(() => expect(message).toBeDefined());
    await consumer.stop();
    await run;
    expect(message?.signal.reason).toMatchObject({ code: "aborted" });
    expect(await countsOf(connection, numbers)).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
    open();
    await expect(message?.ack()).rejects.toMatchObject({ code: "aborted", retryable: false });
    await expect(message?.extend(60)).rejects.toMatchObject({ code: "aborted" });
    await message?.release();
    expect(await countsOf(connection, numbers)).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
    expect(failures).toEqual([]);
    expect(await receiveCountsOf(numbers, 1)).toEqual([2]);
  });

  test("a handler that outlives the drain finds its signal aborted also when it asks for it only then", async () => {
    const numbers = await queueOf(connection, 1);
    const consumer = createConsumer(connection, numbers, { drainTimeoutMs: 50 });
    let message: ReceivedMessage<number> | undefined;
    const { open, opened } = gate();
    const run = consumer.run((received) => {
      message = received;
      return opened;
    });
    await eventually(() => expect(message).toBeDefined());
    await consumer.stop();
    await run;
    expect(message?.signal.reason).toMatchObject({ code: "aborted" });
    open();
  });

  test.each([Infinity, 2 ** 31])(
    "a drain of %d ms waits for the handler, and releases nothing",
    async (drainTimeoutMs) => {
      const numbers = await queueOf(connection, 1);
      const { failures, options } = noting({ drainTimeoutMs });
      const consumer = createConsumer(connection, numbers, options);
      const { open, opened } = gate();
      let isHandling = false;
      const run = consumer.run(async () => {
        isHandling = true;
        await opened;
      });
      await eventually(() => expect(isHandling).toBe(true));
      const stopped = consumer.stop();
      // A round trip is much longer than the millisecond that a timer makes of either.
      expect(await countsOf(connection, numbers)).toEqual({ ...empty, inFlight: 1 });
      expect(consumer.state).toBe("draining");
      open();
      await stopped;
      await run;
      expect(await countsOf(connection, numbers)).toEqual(empty);
      expect(failures).toEqual([]);
    },
  );

  test("ends an open long poll at once, and what is sent then goes to the next consumer", async () => {
    const numbers = await queueOf(connection, 0);
    await using proxy = await faultyProxy(sluice.url);
    const consumer = createConsumer(connect({ url: proxy.url }), numbers);
    const run = consumer.run(() => {});
    await eventually(() => expect(proxy.count("/receive")).toBe(1));
    const started = performance.now();
    await consumer.stop();
    await run;
    // Of the 20 s that it would wait otherwise.
    expect(performance.now() - started).toBeLessThan(15_000);
    await createProducer(connection).send(numbers, 7);
    const next = createConsumer(connection, numbers);
    const seen: number[] = [];
    await next.run(({ payload }) => {
      seen.push(payload);
      void next.stop();
    });
    expect(seen).toEqual([7]);
  });

  // Side by side: they wait for longer than a message is hidden, which is for long.
  test.concurrent.each(["one by one", "in batches"])(
    "reports nothing of what was acknowledged in time, however long ago: %s",
    async (how) => {
      const numbers = await queueOf(connection, 3, 6);
      const { failures, options } = noting({ concurrency: 1, prefetch: 0 });
      await using consumer = createConsumer(connection, numbers, options);
      const run = how === "in batches" ? consumer.runBatches(() => {}) : consumer.run(() => {});
      await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
      const acknowledged = performance.now();
      // The last receive has brought the last acknowledgement, and waits.
      await eventually(() => expect(performance.now() - acknowledged).toBeGreaterThan(6_500));
      await consumer.stop();
      await run;
      expect(failures).toEqual([]);
    },
  );

  test("an AbortSignal stops like stop(), also before the start", async () => {
    const numbers = await queueOf(connection, 1);
    const stopping = new AbortController();
    const states: ConsumerState[] = [];
    const onStateChange = (state: ConsumerState) => states.push(state);
    const consumer = createConsumer(connection, numbers, {
      signal: stopping.signal,
      onStateChange,
    });
    await consumer.run(() => stopping.abort());
    expect(states).toEqual(["receiving", "draining", "stopped"]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
    const handler = vi.fn();
    await createConsumer(connection, numbers, { signal: stopping.signal }).run(handler);
    expect(handler).not.toHaveBeenCalled();
  });

  test("an AbortSignal that outlives the consumer is left", async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    const consumer = createConsumer(connection, await queueOf(connection, 1), { signal });
    await consumer.run(() => void consumer.stop());
    expect(added).toHaveBeenCalledTimes(1);
    expect(removed.mock.calls).toEqual(added.mock.calls);
  });

  test("any number of consumers stop by one signal, which is no leak to Node", async () => {
    const warned = vi.fn();
    process.on("warning", warned);
    const offline = connect({ url: sluice.url, fetch: () => new Promise(() => {}) });
    const stopping = new AbortController();
    const options = { signal: stopping.signal, visibilityTimeout: 30, drainTimeoutMs: 0 };
    const consumers = range(30).map(() => createConsumer(offline, queue("orders"), options));
    const runs = consumers.map((consumer) => consumer.run(() => {}));
    stopping.abort();
    await Promise.all(runs);
    expect(new Set(consumers.map(({ state }) => state))).toEqual(new Set(["stopped"]));
    // Node warns in a turn of its own.
    await setImmediate();
    process.off("warning", warned);
    expect(warned).not.toHaveBeenCalled();
  });

  test("a consumer runs once", async () => {
    const consumer = createConsumer(connection, await queueOf(connection, 0));
    const run = consumer.run(() => {});
    await expect(consumer.run(() => {})).rejects.toMatchObject({ code: "closed" });
    await expect(consumer[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "closed" });
    expect(consumer.state).toBe("receiving");
    await consumer.stop();
    await run;
    await expect(consumer.runBatches(() => {})).rejects.toMatchObject({ code: "closed" });
  });
});

describe("when the server fails", () => {
  test("an outage is waited out and told as a state", async () => {
    const numbers = await queueOf(connection, 3);
    await using proxy = await faultyProxy(sluice.url);
    const states: ConsumerState[] = [];
    const { failures, options } = noting({ onStateChange: (state) => states.push(state) });
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, options);
    const seen: number[] = [];
    proxy.down();
    const run = consumer.run(({ payload }) => seen.push(payload));
    await eventually(() => expect(failures.length).toBeGreaterThan(1));
    proxy.up();
    await eventually(() => expect(seen).toHaveLength(3));
    proxy.down();
    await eventually(() =>
      expect(states.filter((state) => state === "reconnecting")).toHaveLength(2),
    );
    proxy.up();
    await createProducer(connection).send(numbers, 3);
    await eventually(() => expect(seen).toHaveLength(4));
    await consumer.stop();
    await run;
    expect(seen.sort()).toEqual(range(4));
    expect(new Set(failures.map(({ stage }) => stage))).toEqual(new Set(["receive"]));
    expect(new Set(failures.map(codeOf))).toEqual(new Set(["network"]));
    const expected = [
      "receiving",
      "reconnecting",
      "receiving",
      "reconnecting",
      "receiving",
      "draining",
      "stopped",
    ];
    expect(states).toEqual(expected);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("the console is told of an outage in one line, and in another one when it is over", async () => {
    const log = vi.spyOn(globalThis.console, "error").mockImplementation(() => {});
    const numbers = await queueOf(connection, 1);
    await using proxy = await faultyProxy(sluice.url);
    const consumer = createConsumer(connect({ url: proxy.url }), numbers, {
      receivers: 3,
      wait: 1,
    });
    const handled = vi.fn();
    const run = consumer.run(handled);
    await eventually(() => expect(handled).toHaveBeenCalledTimes(1));
    proxy.down();
    const before = proxy.count("/receive");
    await eventually(() => expect(proxy.count("/receive") - before).toBeGreaterThan(5));
    proxy.up();
    await createProducer(connection).send(numbers, 1);
    await eventually(() => expect(handled).toHaveBeenCalledTimes(2));
    await eventually(() => expect(consumer.state).toBe("receiving"));
    await consumer.stop();
    await run;
    expect(log.mock.calls).toEqual([
      [expect.stringMatching(/^Sluice consumer of numbers-\w+: receive failed, .+ \(network\)$/)],
      [`Sluice consumer of ${numbers.name}: receives again`],
    ]);
    log.mockRestore();
  });

  test("one that nobody listens for is told of as soon as any other", async () => {
    const { url, ...gone } = await scriptedServer();
    await gone[Symbol.asyncDispose]();
    const { failures, options } = noting({ visibilityTimeout: 30 });
    const consumer = createConsumer(connect({ url }), queue("orders"), options);
    const run = consumer.run(() => {});
    await eventually(() => expect(failures.map(codeOf)).toContain("network"));
    expect(consumer.state).toBe("reconnecting");
    await consumer.stop();
    await run;
  });

  test.each(["cut", "unavailable", "lose answer"] as const)(
    "an acknowledgement is repeated until it is there: %s",
    async (fault) => {
      const numbers = await queueOf(connection, 50);
      await using proxy = await faultyProxy(sluice.url);
      proxy.fail("/ack", fault, fault);
      const { failures, options } = noting();
      const consumer = createConsumer(
        connect({ url: proxy.url, retry: { baseDelayMs: 1 } }),
        numbers,
        options,
      );
      let seen = 0;
      await consumer.run(() => {
        if (++seen === 50) void consumer.stop();
      });
      expect(failures).toEqual([]);
      expect(await countsOf(connection, numbers)).toEqual(empty);
    },
  );

  test.each(["cut", "unavailable", "lose answer"] as const)(
    "a release is repeated until it is there: %s",
    async (fault) => {
      const numbers = await queueOf(connection, 2);
      await using proxy = await faultyProxy(sluice.url);
      const { failures, options } = noting({ backoff: () => 0 });
      const consumer = createConsumer(
        connect({ url: proxy.url, retry: { baseDelayMs: 1 } }),
        numbers,
        options,
      );
      let again = 0;
      await consumer.run(async (message) => {
        if (message.receiveCount === 1) {
          proxy.fail("/visibility", fault);
          if (message.payload === 0) return await message.release();
          throw new Error("failed");
        }
        if (++again === 2) void consumer.stop();
      });
      expect(failures.map(({ stage }) => stage)).toEqual(["handle"]);
      expect(await countsOf(connection, numbers)).toEqual(empty);
    },
  );

  test.each(["one by one", "in batches", "by hand"])(
    "an acknowledgement is repeated for as long as its message is held, be that longer than calls are: %s",
    async (how) => {
      const numbers = await queueOf(connection, 3);
      await using proxy = await faultyProxy(sluice.url);
      const { failures, options } = noting();
      const brief = connect({ url: proxy.url, retry: { baseDelayMs: 10, budgetMs: 100 } });
      await using consumer = createConsumer(brief, numbers, options);
      let handled = 0;
      const handle = async (message: ReceivedMessage<number>) => {
        handled += 1;
        proxy.down();
        if (how === "by hand") await message.ack();
      };
      const run =
        how === "in batches"
          ? consumer.runBatches((messages) => Promise.all(messages.map(handle)))
          : consumer.run(handle);
      await eventually(() => expect(handled).toBe(3));
      const downAt = performance.now();
      await eventually(() => expect(performance.now() - downAt).toBeGreaterThan(1_500));
      proxy.up();
      await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
      await consumer.stop();
      await run;
      expect(handled).toBe(3);
      expect(failures.filter(({ stage }) => stage !== "receive")).toEqual([]);
    },
  );

  test("a release is repeated for as long as its message is held", async () => {
    const numbers = await queueOf(connection, 1);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting({ backoff: () => 0 });
    const brief = connect({ url: proxy.url, retry: { baseDelayMs: 10, budgetMs: 100 } });
    await using consumer = createConsumer(brief, numbers, options);
    const downAt: number[] = [];
    const run = consumer.run(({ receiveCount }) => {
      if (receiveCount === 2) return void consumer.stop();
      proxy.down();
      downAt.push(performance.now());
      throw new Error("failed");
    });
    await eventually(() => expect(performance.now() - downAt[0]!).toBeGreaterThan(1_500));
    proxy.up();
    await run;
    expect(new Set(failures.map(({ stage }) => stage))).toEqual(new Set(["handle", "receive"]));
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test.each(["ack", "visibility"])(
    "what the connection has no time to repeat is repeated all the same, while its message is held: %s",
    async (path) => {
      const numbers = await queueOf(connection, 1);
      await using proxy = await faultyProxy(sluice.url);
      proxy.fail(`/${path}`, "come back in a second");
      const { failures, options } = noting();
      const brief = connect({ url: proxy.url, retry: { budgetMs: 500 } });
      await using consumer = createConsumer(brief, numbers, options);
      await consumer.run(async (message) => {
        void consumer.stop();
        await (path === "ack" ? message.ack() : message.release(60));
      });
      expect(failures).toEqual([]);
      expect(proxy.count(`/${path}`)).toBe(2);
    },
  );

  test("an acknowledgement that is repeated still is given up when stop() has waited for it", async () => {
    const numbers = await queueOf(connection, 1);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting();
    const brief = connect({ url: proxy.url, retry: { baseDelayMs: 10, budgetMs: 100 } });
    await using consumer = createConsumer(brief, numbers, options);
    await consumer.run(() => {
      proxy.down();
      void consumer.stop();
    });
    expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
      ["acknowledge", "aborted"],
    ]);
    const attempts = proxy.count("/ack");
    await countsOf(connection, numbers);
    expect(proxy.count("/ack")).toBe(attempts);
  });

  test.each([
    ["ack", "cut"],
    ["ack", "lose answer"],
    ["release", "cut"],
  ] as const)("what a handler failed to settle it can settle again: %s, %s", async (how, fault) => {
    const numbers = await queueOf(connection, 1);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting();
    const strict = connect({ url: proxy.url, retry: false });
    const consumer = createConsumer(strict, numbers, options);
    let failed: unknown[] = [];
    await consumer.run(async (message) => {
      proxy.fail(how === "ack" ? "/ack" : "/visibility", fault);
      const settle = () => (how === "ack" ? message.ack() : message.release(60));
      // The second one is another word for the first.
      const both = await Promise.allSettled([settle(), message.ack()]);
      failed = both.map(({ status }) => status);
      await settle();
      await message.ack();
      void consumer.stop();
    });
    expect(failed).toEqual(["rejected", "rejected"]);
    expect(failures).toEqual([]);
    const { visible, inFlight } = await countsOf(connection, numbers);
    expect({ visible, inFlight }).toEqual({ visible: 0, inFlight: how === "ack" ? 0 : 1 });
  });

  test.each(["one by one", "in batches"])(
    "a handler that returns although its ack() failed has its message acknowledged all the same, %s",
    async (how) => {
      const numbers = await queueOf(connection, 3);
      await using proxy = await faultyProxy(sluice.url);
      proxy.fail("/ack", "cut");
      const { failures, options } = noting();
      const strict = connect({ url: proxy.url, retry: false });
      const consumer = createConsumer(strict, numbers, options);
      let handled = 0;
      const handle = async (message: ReceivedMessage<number>) => {
        handled += 1;
        if (message.payload === 0) await expect(message.ack()).rejects.toThrow();
        if (handled === 3) void consumer.stop();
      };
      if (how === "one by one") await consumer.run(handle);
      else await consumer.runBatches((messages) => Promise.all(messages.map(handle)));
      expect(handled).toBe(3);
      expect(failures).toEqual([]);
      expect(await countsOf(connection, numbers)).toEqual(empty);
    },
  );

  test.each([
    ["may have been carried out by an attempt before it", 502, true],
    ["nobody has read before", 429, false],
  ])("an extension that is refused, and %s, says so", async (_, status, outcomeUnknown) => {
    const numbers = await queueOf(connection, 1);
    const error = { code: "message_not_in_flight", message: "It is visible." };
    let extensions = 0;
    const fetch: typeof globalThis.fetch = async (input, init) => {
      if (!(input as string).endsWith("/visibility")) return await globalThis.fetch(input, init);
      return ++extensions === 1
        ? new Response(null, { status })
        : Response.json({ results: [{ error }] });
    };
    const retry = { baseDelayMs: 1 };
    const consumer = createConsumer(connect({ url: sluice.url, fetch, retry }), numbers);
    let refused: unknown;
    await consumer.run(async (message) => {
      refused = await message.extend(60).catch((thrown: unknown) => thrown);
      void consumer.stop();
    });
    expect(refused).toMatchObject({ code: "message_not_in_flight", outcomeUnknown });
    expect(extensions).toBe(2);
  });

  test("an acknowledgement that arrives when others can have its message is not taken for done", async () => {
    const numbers = await queueOf(connection, 1, 1);
    await using proxy = await faultyProxy(sluice.url);
    const { options } = noting({ autoExtend: false });
    const late = createConsumer(connect({ url: proxy.url }), numbers, options);
    const begun = gate();
    const taken = gate();
    let refused: unknown;
    const run = late.run(async (message) => {
      begun.open();
      proxy.down();
      const acknowledged = message.ack().catch((thrown: unknown) => thrown);
      void late.stop();
      await taken.opened;
      proxy.up();
      refused = await acknowledged;
    });
    await begun.opened;
    const next = createConsumer(connection, numbers, { visibilityTimeout: 30 });
    const second = next.run(async () => {
      taken.open();
      await run;
      void next.stop();
    });
    await second;
    expect(refused).toMatchObject({ code: "receipt_handle_expired", outcomeUnknown: true });
  });

  test("messages whose receive was lost come again", async () => {
    const numbers = await queueOf(connection, 2);
    let receives = 0;
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const isFirst = (input as string).endsWith("/receive") && ++receives === 1;
      if (!isFirst) return await globalThis.fetch(input, init);
      // Hidden for long only when they come again: then they can be handled and acknowledged in peace.
      const body = { ...(JSON.parse(init?.body as string) as object), visibilityTimeout: 1 };
      await globalThis.fetch(input, { ...init, body: JSON.stringify(body) });
      throw new Error("The answer was lost.");
    };
    const { failures, options } = noting();
    const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
    const seen: number[] = [];
    await consumer.run(({ payload }) => {
      if (seen.push(payload) === 2) void consumer.stop();
    });
    expect(seen.sort()).toEqual([0, 1]);
    expect(failures.map(({ stage }) => stage)).toEqual(["receive"]);
    expect(await countsOf(connection, numbers)).toEqual(empty);
  });

  test("a queue that is not there rejects the run; so does one that is deleted, after draining", async () => {
    const gone = createConsumer(connection, queue(unique("gone")));
    await expect(gone.run(() => {})).rejects.toMatchObject({ code: "queue_not_found" });
    expect(gone.state).toBe("stopped");

    const numbers = await queueOf(connection, 1);
    const { options } = noting();
    const consumer = createConsumer(connection, numbers, { ...options, receivers: 2, wait: 1 });
    const run = consumer.run(() => createAdmin(connection).queues.delete(numbers));
    await expect(run).rejects.toMatchObject({ code: "queue_not_found" });
    expect(consumer.state).toBe("stopped");
    await consumer.stop();
  });

  test.each([401, 403])(
    "a caller without the right, answered with %d, ends the run",
    async (status) => {
      const numbers = await queueOf(connection, 1);
      const fetch: typeof globalThis.fetch = async (input, init) =>
        handled === 0 || !(input as string).endsWith("/receive")
          ? await globalThis.fetch(input, init)
          : new Response("<h1>Not you</h1>", { status });
      let handled = 0;
      const { failures, options } = noting();
      const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
      const run = consumer.run(() => void handled++);
      await expect(run).rejects.toMatchObject({ status });
      expect(consumer.state).toBe("stopped");
      expect(failures).toEqual([]);
      // What it had is acknowledged nevertheless.
      expect(await countsOf(connection, numbers)).toEqual(empty);
    },
  );

  test("a server that answers at once that there is nothing is not asked again at once", async () => {
    await using server = await scriptedServer(json(200, { receipts: [] }));
    const options = { visibilityTimeout: 30 };
    await using consumer = createConsumer(connect({ url: server.url }), queue("q"), options);
    const began = performance.now();
    void consumer.run(() => {});
    await eventually(() => expect(server.seen.length).toBeGreaterThan(4));
    // Two a second, and the first one.
    const most = 1 + (performance.now() - began) / 490;
    expect(server.seen.length).toBeLessThanOrEqual(most);
  });

  test.each(["throw", "reject"])("callbacks that %s do no harm", async (how) => {
    const console = vi.spyOn(globalThis.console, "error").mockImplementation(() => {});
    const numbers = await queueOf(connection, 1);
    const bad = () => {
      throw new Error("callback");
    };
    const told = how === "throw" ? bad : () => Promise.reject(new Error("callback"));
    const consumer = createConsumer(connection, numbers, {
      onError: told,
      onStateChange: told,
      backoff: bad,
    });
    let received = 0;
    await consumer.run(({ receiveCount }) => {
      received = receiveCount;
      if (receiveCount === 1) throw new Error("handler");
      void consumer.stop();
    });
    expect(received).toBe(2);
    for (const name of ["onError", "onStateChange"])
      expect(console).toHaveBeenCalledWith(expect.stringContaining(name), expect.any(Error));
    console.mockRestore();
  });
});
