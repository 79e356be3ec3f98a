import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { createLogger, type Logger } from "@sluice/runtime";
import { freePort, startNats, temporaryFolder } from "@sluice/stack";
import type {} from "@sluice/stack/testing";
import { describe, expect, inject, onTestFinished, test, vi } from "vitest";
import type { Bus } from "../bus.ts";
import { connectionOptions } from "./connection-options.ts";
import { Link } from "./link.ts";
import { connectNatsBus, joinNatsBus } from "./nats-bus.ts";

/** Long enough for a reconnect and the back-off before it. */
const recovery = { timeout: 15_000, interval: 20 };

function log() {
  const events: string[] = [];
  const write = (line: string) => void events.push((JSON.parse(line) as { event: string }).event);
  return { events, logger: createLogger({ name: "test", stream: { write } }) };
}

async function join(server: string, prefix: string, logger?: Logger): Promise<Bus> {
  const bus = await connectNatsBus({
    servers: [server],
    name: "test",
    prefix,
    ...(logger !== undefined && { logger }),
  });
  onTestFinished(() => bus.close());
  return bus;
}

async function takeAll(bus: Bus): Promise<string[]> {
  const taken: string[] = [];
  await bus.takeBatches(async (batchIds) => void taken.push(...batchIds));
  return taken;
}

/** A nats-server of this test alone, which it may kill and pause. */
async function ownServer() {
  const start = async (port?: number) => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder[Symbol.asyncDispose]());
    const server = await startNats({
      storeDir: folder.path,
      ...(port !== undefined && { port }),
    });
    onTestFinished(async () => {
      server.signal("SIGCONT");
      await server.stop();
    });
    return server;
  };
  const first = await start();
  return { url: first.url, first, startAgainEmpty: () => start(first.port) };
}

const anyPrefix = () => `test-${randomUUID()}`;

async function rawConnection(server: string) {
  const nats = await connect(connectionOptions([server], "test"));
  onTestFinished(() => nats.close());
  return nats;
}

describe("a nats-server that is killed with -9 and comes back empty", () => {
  test("makes a gap, after which everything flows again", async () => {
    const server = await ownServer();
    const prefix = anyPrefix();
    const { events, logger } = log();
    const [sender, member] = [
      await join(server.url, prefix),
      await join(server.url, prefix, logger),
    ];
    const taken = await takeAll(member);
    const signalled: string[] = [];
    await member.onQueues((queueIds) => void signalled.push(...queueIds));
    const gaps: string[] = [];
    sender.onGap(() => gaps.push("sender"));
    member.onGap(() => gaps.push("member"));

    await server.first.kill();
    await vi.waitFor(() => expect([sender.connected, member.connected]).toEqual([false, false]));
    for (let i = 0; i < 1_000; i++) {
      sender.announceBatches(["1"]);
      sender.signalQueues(["1"]);
      sender.invalidate({ kind: "topic", account: "1", name: "orders" });
    }
    await server.startAgainEmpty();
    await vi.waitFor(() => expect(gaps.toSorted()).toEqual(["member", "sender"]), recovery);

    await vi.waitFor(() => {
      sender.announceBatches(["2"]);
      expect(taken).toContain("2");
    }, recovery);
    sender.signalQueues(["2"]);
    await vi.waitFor(() => expect(signalled).toEqual(["2"]));
    expect(taken).not.toContain("1");
    expect(events).toEqual(["bus.disconnected", "bus.reconnected"]);
  });

  test("does not keep a process from telling itself", async () => {
    const server = await ownServer();
    const bus = await join(server.url, anyPrefix());
    const heard: unknown[] = [];
    await bus.onQueues((queueIds) => void heard.push(queueIds));
    await bus.onChange((change) => void heard.push(change.name));
    await server.first.kill();
    await vi.waitFor(() => expect(bus.connected).toBe(false));
    bus.signalQueues(["1"]);
    bus.invalidate({ kind: "topic", account: "1", name: "orders" });
    await vi.waitFor(() => expect(heard).toEqual([["1"], "orders"]));
  });

  test("does not keep a process from stopping", async () => {
    const server = await ownServer();
    const bus = await join(server.url, anyPrefix());
    await takeAll(bus);
    await server.first.kill();
    await vi.waitFor(() => expect(bus.connected).toBe(false));
    await bus.close();
  });
});

test("a server that hangs is sent a bounded amount, and never waited for", async () => {
  const server = await ownServer();
  const nats = await rawConnection(server.url);
  const link = new Link(log().logger);
  await link.begin(nats);
  server.first.signal("SIGSTOP");
  const payload = "x".repeat(100_000);
  for (let i = 0; i < 500; i++) link.send("test", payload);
  expect(nats.stats().outBytes).toBeLessThan(5_000_000);
});

describe("the work queue", () => {
  test("is made anew when somebody deletes it", async () => {
    const url = inject("natsUrl");
    const prefix = anyPrefix();
    const bus = await join(url, prefix);
    const taken = await takeAll(bus);
    const { streams } = await jetstreamManager(await rawConnection(url));
    await streams.delete(`${prefix}-batches`);
    await vi.waitFor(() => {
      bus.announceBatches(["1"]);
      expect(taken).toContain("1");
    }, recovery);
    expect((await streams.info(`${prefix}-batches`)).config.storage).toBe("memory");
  });

  test("is replaced by a queue group while it cannot be had, and taken up when it can", async () => {
    const url = inject("natsUrl");
    const prefix = anyPrefix();
    const { streams } = await jetstreamManager(await rawConnection(url));
    // A stream that already has the subject keeps ours from being made.
    await streams.add({ name: `${prefix}-other`, subjects: [`${prefix}.>`], storage: "memory" });
    const { events, logger } = log();
    const [sender, left, right] = [
      await join(url, prefix),
      await join(url, prefix, logger),
      await join(url, prefix),
    ];
    const taken = [await takeAll(left), await takeAll(right)];
    for (let id = 1; id <= 100; id++) sender.announceBatches([String(id)]);
    await vi.waitFor(() => expect(taken.flat()).toHaveLength(100));
    expect(new Set(taken.flat()).size).toBe(100);
    expect(events).toEqual(["bus.work-queue-unavailable"]);

    // Who stops leaves all to the others.
    const taking = await (await join(url, prefix)).takeBatches(async () => {});
    await taking.stop();
    for (let id = 101; id <= 200; id++) sender.announceBatches([String(id)]);
    await vi.waitFor(() => expect(new Set(taken.flat()).size).toBe(200));

    await streams.delete(`${prefix}-other`);
    await vi.waitFor(() => {
      sender.announceBatches(["201"]);
      expect(events.at(-1)).toBe("bus.work-queue-available");
    }, recovery);
    await vi.waitFor(() => expect(taken.flat()).toContain("201"));
  });

  test("leaves what is in the way of a paused taker to the others", async () => {
    const url = inject("natsUrl");
    const prefix = anyPrefix();
    const fixture = fileURLToPath(new URL("taker.fixture.mjs", import.meta.url));
    const paused = spawn(process.execPath, [fixture, url, prefix], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void paused.kill("SIGKILL"));
    await once(paused.stdout, "data");
    const bus = await join(url, prefix);
    const taken = await takeAll(bus);
    paused.kill("SIGSTOP");
    for (let id = 1; id <= 500; id++) bus.announceBatches([String(id)]);
    await vi.waitFor(() => expect(new Set(taken).size).toBe(500), recovery);
  });
});

test("installations with different prefixes do not hear each other", async () => {
  const url = inject("natsUrl");
  const [one, other] = [await join(url, anyPrefix()), await join(url, anyPrefix())];
  const heard: string[] = [];
  await one.onQueues((queueIds) => void heard.push(...queueIds));
  const taken = await takeAll(one);
  other.signalQueues(["1"]);
  other.announceBatches(["1"]);
  one.signalQueues(["2"]);
  one.announceBatches(["2"]);
  // An announcement may come twice.
  await vi.waitFor(() => expect([heard, [...new Set(taken)]]).toEqual([["2"], ["2"]]));
});

test("whatever else is published on the subjects is ignored", async () => {
  const url = inject("natsUrl");
  const prefix = anyPrefix();
  const bus = await join(url, prefix);
  const heard: unknown[] = [];
  await bus.onQueues((queueIds) => void heard.push(queueIds));
  await bus.onChange((change) => void heard.push(change));
  await bus.takeBatches(async (batchIds) => void heard.push(batchIds));
  const ignored = () => heard.filter((each) => String(each) !== "1");
  const nats = await rawConnection(url);
  for (const kind of ["batches", "queues", "changes"]) {
    for (const text of ["", "null", '{"kind":1}', "../etc", "1e9", "\0\0", "9".repeat(10_000)]) {
      nats.publish(`${prefix}.${kind}`, text);
    }
    nats.publish(`${prefix}.${kind}`, new Uint8Array([0xff, 0xfe, 0x00]));
  }
  await nats.flush();
  bus.announceBatches(["1"]);
  await vi.waitFor(() => expect(heard).toContainEqual(["1"]));
  expect(ignored()).toEqual([]);
});

describe("a bus that is joined while no server is there", () => {
  async function joinNobody(signal?: AbortSignal) {
    const port = await freePort();
    const { events, logger } = log();
    const prefix = anyPrefix();
    const servers = [`nats://127.0.0.1:${port}`];
    const bus = await joinNatsBus({
      servers,
      name: "test",
      prefix,
      logger,
      ...(signal && { signal }),
    });
    onTestFinished(() => bus.close());
    return { bus, events, port, prefix };
  }

  test("tells its own process meanwhile, and all others once there is one", async () => {
    const { bus, events, port, prefix } = await joinNobody();
    const signalled: string[] = [];
    await bus.onQueues((queueIds) => void signalled.push(...queueIds));
    const taken = await takeAll(bus);
    let gaps = 0;
    bus.onGap(() => (gaps += 1));
    bus.announceBatches(["1"]);
    bus.signalQueues(["1"]);
    await vi.waitFor(() => expect(signalled).toEqual(["1"]));
    expect([bus.connected, gaps]).toEqual([false, 0]);

    await using folder = await temporaryFolder();
    const server = await startNats({ storeDir: folder.path, port });
    onTestFinished(async () => {
      await server.stop();
    });
    await vi.waitFor(() => expect([bus.connected, gaps]).toEqual([true, 1]), recovery);
    const sender = await join(server.url, prefix);
    sender.signalQueues(["2"]);
    await vi.waitFor(() => expect(signalled).toEqual(["1", "2"]));
    await vi.waitFor(() => {
      sender.announceBatches(["2"]);
      expect(taken).toContain("2");
    }, recovery);
    expect(taken).not.toContain("1");
    expect([events[0], events.at(-1)]).toEqual(["dependency.awaited", "dependency.available"]);
  });

  test("can be stopped", async () => {
    const { bus } = await joinNobody();
    const taking = await bus.takeBatches(async () => {});
    await taking.stop();
    await bus.close();
    expect(bus.connected).toBe(false);
  });

  test("is not waited for by a process that is told to stop", async () => {
    await expect(joinNobody(AbortSignal.abort(new Error("stopped")))).rejects.toThrow("stopped");
  });
});

test("connecting fails when nobody is there", async () => {
  const servers = ["nats://127.0.0.1:1"];
  await expect(connectNatsBus({ servers, name: "test" })).rejects.toThrow();
});

test.each(["", "a.b", "a b", "*", ">", "é", "x".repeat(65)])(
  "prefix %j is refused",
  async (prefix) => {
    const servers = [inject("natsUrl")];
    await expect(connectNatsBus({ servers, name: "test", prefix })).rejects.toThrow(TypeError);
  },
);
