import { randomUUID } from "node:crypto";
import { describe, expect, inject, onTestFinished, test, vi } from "vitest";
import type {} from "@sluice/stack/testing";
import type { Bus, Change } from "./bus.ts";
import { createInProcessBus, InProcessHub } from "./in-process/in-process-bus.ts";
import { connectNatsBus } from "./nats/nats-bus.ts";
import { pull } from "./nats/work-queue.ts";

/** Each gives a new meeting place; every call of what it gives joins one more member. */
const adapters: Record<Bus["kind"], () => () => Promise<Bus>> = {
  "in-process": () => {
    const hub = new InProcessHub();
    return async () => createInProcessBus({ hub });
  },
  nats: () => {
    const prefix = `test-${randomUUID()}`;
    const servers = [inject("natsUrl")];
    return () => connectNatsBus({ servers, name: "test", prefix });
  },
};

/** A promise that is resolved from outside. */
function signal() {
  let resolve = () => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

const ids = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

const topicChange: Change = { kind: "topic", account: "000000000000", name: "orders" };

/** What a taker has that stands still for a second goes to another one: so many of its announcements, at the most. */
const MOST_TWICE = 2 * pull.max_messages;

describe.each(Object.entries(adapters))("the %s bus", (kind, adapter) => {
  function meeting(): () => Promise<Bus> {
    const join = adapter();
    return async () => {
      const bus = await join();
      onTestFinished(() => bus.close());
      return bus;
    };
  }

  /** Takes on this member into a list of the sets it was handed. */
  async function take(bus: Bus, maxBatches?: number) {
    const sets: string[][] = [];
    const handler = async (batchIds: string[]) => void sets.push(batchIds);
    const taking = await bus.takeBatches(handler, maxBatches === undefined ? {} : { maxBatches });
    return { sets, taking };
  }

  test("says what it is and that it is connected", async () => {
    const bus = await meeting()();
    expect(bus.kind).toBe(kind);
    expect(bus.connected).toBe(true);
  });

  test("an announcement reaches exactly one of two takers", async () => {
    const join = meeting();
    const [sender, left, right] = [
      await join(),
      await take(await join()),
      await take(await join()),
    ];
    for (const id of ids(1, 500)) sender.announceBatches([id]);
    sender.announceBatches(["501"]);
    const taken = () => [...left.sets, ...right.sets].flat();
    await vi.waitFor(() => expect(new Set(taken()).size).toBe(501));
    expect(new Set(taken())).toEqual(new Set(ids(1, 501)));
    expect(taken().length).toBeLessThanOrEqual(501 + MOST_TWICE);
  });

  test("a member takes its own announcements too", async () => {
    const bus = await meeting()();
    const { sets } = await take(bus);
    bus.announceBatches(["1", "2"]);
    await vi.waitFor(() => expect(sets[0]).toEqual(["1", "2"]));
  });

  test("calls of one handler never overlap", async () => {
    const join = meeting();
    const [sender, taker] = [await join(), await join()];
    const taken: string[] = [];
    let running = 0;
    let most = 0;
    await taker.takeBatches(async (batchIds) => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running -= 1;
      taken.push(...batchIds);
    });
    for (const id of ids(1, 200)) sender.announceBatches([id]);
    await vi.waitFor(() => expect(new Set(taken).size).toBe(200));
    expect(most).toBe(1);
  });

  test("a call of the handler gets no more batches than it asked for", async () => {
    const join = meeting();
    const sender = await join();
    const { sets } = await take(await join(), 10);
    sender.announceBatches(ids(1, 95));
    await vi.waitFor(() => expect(new Set(sets.flat()).size).toBe(95));
    expect(Math.max(...sets.map((set) => set.length))).toBe(10);
  });

  test("a handler that rejects is called again for what comes next", async () => {
    const join = meeting();
    const [sender, taker] = [await join(), await join()];
    const taken: string[] = [];
    await taker.takeBatches(async (batchIds) => {
      taken.push(...batchIds);
      throw new Error("no database");
    });
    sender.announceBatches(["1"]);
    await vi.waitFor(() => expect(taken).toContain("1"));
    sender.announceBatches(["2"]);
    await vi.waitFor(() => expect(taken).toContain("2"));
  });

  test("stopping to take waits for the handler that runs", async () => {
    const join = meeting();
    const [sender, taker] = [await join(), await join()];
    const running = signal();
    const finish = signal();
    const events: string[] = [];
    const taking = await taker.takeBatches(async () => {
      running.resolve();
      await finish.promise;
      events.push("handled");
    });
    sender.announceBatches(["1"]);
    await running.promise;
    const stopped = taking.stop().then(() => events.push("stopped"));
    // When all else that it waits for, an answer of the server say, has long come.
    setTimeout(finish.resolve, 200);
    await stopped;
    expect(events).toEqual(["handled", "stopped"]);
  });

  test("who has stopped taking leaves the announcements to the others", async () => {
    const join = meeting();
    const [sender, left, right] = [
      await join(),
      await take(await join()),
      await take(await join()),
    ];
    await left.taking.stop();
    for (const id of ids(1, 100)) sender.announceBatches([id]);
    await vi.waitFor(() => expect(new Set(right.sets.flat()).size).toBe(100));
    expect(left.sets).toEqual([]);
  });

  test("queue signals reach every member, the sender too", async () => {
    const join = meeting();
    const members = [await join(), await join(), await join()];
    const heard: string[][] = [[], [], []];
    for (const [index, member] of members.entries()) {
      await member.onQueues((queueIds) => heard[index]?.push(...queueIds));
    }
    members[0]?.signalQueues(["7", "9223372036854775807"]);
    const signalled = ["7", "9223372036854775807"];
    await vi.waitFor(() => expect(heard).toEqual([signalled, signalled, signalled]));
  });

  test("a signal for very many queues arrives whole", async () => {
    const join = meeting();
    const [sender, listener] = [await join(), await join()];
    const heard: string[] = [];
    await listener.onQueues((queueIds) => void heard.push(...queueIds));
    sender.signalQueues(ids(1, 100_000));
    await vi.waitFor(() => expect(heard).toHaveLength(100_000));
    expect(heard).toEqual(ids(1, 100_000));
  });

  test("changes reach every member in the order of one sender", async () => {
    const join = meeting();
    const [sender, listener] = [await join(), await join()];
    const heard: Change[] = [];
    await listener.onChange((change) => void heard.push(change));
    const odd: Change = { kind: "queue", account: "000000000042", name: 'q",\n"\u2028é' };
    sender.invalidate(topicChange);
    sender.invalidate(odd);
    await vi.waitFor(() => expect(heard).toEqual([topicChange, odd]));
  });

  test("nothing is delivered during the call that sends it", async () => {
    const bus = await meeting()();
    let sending = false;
    const heard = new Set<string>();
    const hear = (what: string) => void heard.add(`${what}${sending ? " while it is sent" : ""}`);
    await bus.onQueues(() => {
      hear("queues");
    });
    await bus.onChange(() => {
      hear("change");
    });
    await bus.takeBatches(async () => {
      hear("batches");
    });
    sending = true;
    bus.signalQueues(["1"]);
    bus.invalidate(topicChange);
    bus.announceBatches(["1"]);
    sending = false;
    await vi.waitFor(() => expect(heard.size).toBe(3));
    expect(heard).toEqual(new Set(["queues", "change", "batches"]));
  });

  test("a listener that throws disturbs no other", async () => {
    const bus = await meeting()();
    const heard: string[][] = [];
    await bus.onQueues(() => {
      throw new Error("broken listener");
    });
    await bus.onQueues((queueIds) => void heard.push(queueIds));
    bus.signalQueues(["1"]);
    bus.signalQueues(["2"]);
    await vi.waitFor(() => expect(heard).toEqual([["1"], ["2"]]));
  });

  test("a listener that has stopped hears nothing", async () => {
    const bus = await meeting()();
    const heard: string[] = [];
    const stopped = await bus.onQueues(() => void heard.push("stopped"));
    await bus.onQueues(() => void heard.push("listening"));
    await stopped.stop();
    bus.signalQueues(["1"]);
    await vi.waitFor(() => expect(heard).toEqual(["listening"]));
  });

  test("closing delivers what was sent before", async () => {
    const join = meeting();
    const listener = await join();
    const heard: string[] = [];
    await listener.onQueues((queueIds) => void heard.push(...queueIds));
    const sender = await join();
    sender.signalQueues(["1"]);
    sender.signalQueues(["2"]);
    await sender.close();
    await vi.waitFor(() => expect(heard).toEqual(["1", "2"]));
  });

  test("sending after closing does nothing, and closing twice is closing once", async () => {
    const bus = await meeting()();
    await bus.close();
    bus.announceBatches(["1"]);
    bus.signalQueues(["1"]);
    bus.invalidate(topicChange);
    await bus.close();
    expect(bus.connected).toBe(false);
  });
});
