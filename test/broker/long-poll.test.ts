import { createInProcessBus } from "@sluice/bus";
import { Engine } from "@sluice/engine";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, Client, numbered } from "./client.ts";
import type { Content } from "./content.ts";
import { failOnce, holdDeletion, newPair } from "./dead-letters.ts";
import { one } from "./fifo.ts";
import { connectAll, holdClaims, until, untilBlocked } from "./interleaving.ts";
import { claimsOf, connectTraced, type Statement } from "./statements.ts";

const broker = await Broker.start({ engines: 0 });
afterAll(async () => {
  vi.useRealTimers();
  await broker[Symbol.asyncDispose]();
});
const statements = await startTracedEngine();
await startTracedEngine();
await Promise.all(broker.databases.map(connectAll));
const processes = broker.engines.map(({ database }) => database);
const client = broker.client();
const otherProcess = broker.client(1);

async function startTracedEngine(): Promise<Statement[]> {
  const database = await connectTraced(broker.databaseUrl);
  await broker.startEngine(database);
  return database.statements;
}

// Time in this process goes on only when a test says so: no safety poll, no end of a wait. The database has its own.
vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });

/**
 * What is measured and not waited for goes on, ten times slower: how long ago a queue was found empty is one of these,
 * and that counts for a second and a half.
 */
function slowDown(): void {
  const now = performance.now.bind(performance);
  const from = now();
  vi.spyOn(performance, "now").mockImplementation(() => from + (now() - from) / 10);
}
afterEach(() => vi.restoreAllMocks());

/** Lets time pass here and in the database. */
async function pass(seconds: number): Promise<void> {
  await broker.clock.advance(seconds);
  await vi.advanceTimersByTimeAsync(seconds * 1_000);
}

/** Lets second after second pass until there is an answer. */
async function passUntil<Answer>(answer: Promise<Answer>): Promise<Answer> {
  let answered = false;
  const settled = answer.finally(() => (answered = true));
  await until(async () => {
    if (!answered) await pass(1);
    await untilQuiet();
    return answered;
  });
  return await settled;
}

/** Longer than whoever comes after a commit may wait for company, in ms: by a timer, which would stand still here. */
const RECENT = 3;

/**
 * What a timer has set off is done, and has been for a moment: a wait of seconds here is over before Postgres has
 * answered once.
 */
async function untilQuiet(): Promise<void> {
  let seen = -1;
  let since = performance.now();
  await until(async () => {
    // What a process of Postgres has not begun with is not active, but each connection answers in order.
    await Promise.all(processes.map(connectAll));
    const sent = statements.filter(({ text }) => !isBarrier(text)).length;
    const isQuiet = seen === sent && (await activeStatements()) === 0;
    if (!isQuiet) since = performance.now();
    seen = sent;
    return isQuiet && performance.now() - since > RECENT;
  });
}

/** Whether it may be one of those by which {@link connectAll} asks. */
function isBarrier(text: string): boolean {
  return /^\s*(begin|commit|select 1)\s*$/i.test(text);
}

async function activeStatements(): Promise<number> {
  const rows = await broker.sql`
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`;
  return rows.length;
}

/** A receive by the first process that waits: its claim has found nothing. */
async function parked(queue: string, signal?: AbortSignal) {
  const messages = client.receive(queue, { wait: 20, maxMessages: 10, ...(signal && { signal }) });
  await claimed(queue);
  // A promise that is returned would be awaited.
  return { messages };
}

/**
 * Resolves when the first process has claimed for all that asked it, and found nothing: a claim serves whoever asked
 * before.
 */
async function claimed(queue: string): Promise<void> {
  expect(await client.receive(queue)).toEqual([]);
}

async function activeClaims(): Promise<number> {
  const rows = await broker.sql`
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND query LIKE '%lease_ids%' AND pid <> pg_backend_pid()`;
  return rows.length;
}

describe("a waiting receive is answered as soon as", () => {
  test("a message is sent, by its own process or another one", async () => {
    for (const sender of [client, otherProcess]) {
      const queue = await broker.newQueue();
      const waiting = await parked(queue);
      await sender.send(queue, ["m"]);
      expect(bodiesOf(await waiting.messages)).toEqual(["m"]);
    }
  });

  test("one of the process that sends has taken all that it takes of them, by the commit of the send", async () => {
    const queue = await broker.newQueue();
    // Before the other process claims: whoever meets another's claim looks again by a timer, which stands still here.
    const here = await parked(queue);
    await otherProcess.receive(queue);
    const there = otherProcess.receive(queue, { wait: 20, maxMessages: 10 });
    await client.send(queue, numbered(15));
    const messages = await Promise.all([here.messages, there]);
    expect(messages.map(({ length }) => length)).toEqual([10, 5]);
  });

  test("a publish was fanned out", async () => {
    const queue = await broker.newQueue();
    const topic = await broker.newTopic([queue]);
    const waiting = await parked(queue);
    await otherProcess.publish(topic, ["m"]);
    expect(bodiesOf(await waiting.messages)).toEqual(["m"]);
  });

  test("a delay is over", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, [{ body: "m", delay: 10 }]);
    const waiting = await parked(queue);
    expect(bodiesOf(await passUntil(waiting.messages))).toEqual(["m"]);
  });

  test("a delay is over that began after it", async () => {
    const queue = await broker.newQueue();
    const waiting = await parked(queue);
    await client.send(queue, [{ body: "m", delay: 0.9 }]);
    const [message] = await passUntil(waiting.messages);
    expect(message!.firstReceivedAt - message!.sentAt).toBeGreaterThanOrEqual(899);
  });

  test("a visibility timeout has run out", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    await otherProcess.receive(queue, { visibilityTimeout: 10 });
    const waiting = await parked(queue);
    expect(await passUntil(waiting.messages)).toMatchObject([{ body: "m", receiveCount: 2 }]);
  });

  test("another receiver gives a message back", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    const held = await otherProcess.receive(queue);
    const waiting = await parked(queue);
    await otherProcess.hide(queue, held, 0);
    expect(await waiting.messages).toMatchObject([{ body: "m", receiveCount: 2 }]);
  });

  test("the safety poll finds a message whose signal was lost", async () => {
    const queue = await broker.newQueue();
    const waiting = await parked(queue);
    await storeUnannounced(queue, "m");
    expect(bodiesOf(await passUntil(waiting.messages))).toEqual(["m"]);
  });

  test("a message is committed whose signal came while the claim was under way", async () => {
    const queue = await broker.newQueue();
    const claims = await holdClaims(broker.sql);
    const waiting = client.receive(queue, { wait: 20 });
    await untilBlocked(broker.sql);
    await otherProcess.send(queue, ["m"]);
    await claims.letGo();
    expect(bodiesOf(await waiting)).toEqual(["m"]);
  });

  test("the safety poll comes round, also when its claim took longer than the poll before", async () => {
    const queue = await broker.newQueue();
    const claims = await holdClaims(broker.sql);
    const waiting = client.receive(queue, { wait: 20 });
    await untilBlocked(broker.sql);
    await vi.advanceTimersByTimeAsync(900);
    await claims.letGo();
    await broker.counts(queue);
    await storeUnannounced(queue, "unannounced");
    expect(bodiesOf(await passUntil(waiting))).toEqual(["unannounced"]);
  });
});

describe("many waiting receives", () => {
  test("get a message once, and the others wait on", async () => {
    const queue = await broker.newQueue();
    const answers: string[][] = [];
    const waiting = Array.from({ length: 50 }, async (_, index) => {
      const messages = await (index % 2 ? client : otherProcess).receive(queue, { wait: 20 });
      answers.push(bodiesOf(messages));
    });
    await until(async () => claimsOf(statements, await broker.idOf(queue)) > 0);
    await client.send(queue, ["a", "b", "c"]);
    await until(() => Promise.resolve(answers.flat().length >= 3));
    expect(answers.flat().sort()).toEqual(["a", "b", "c"]);
    await vi.advanceTimersByTimeAsync(20_000);
    await Promise.all(waiting);
    expect(answers.flat()).toHaveLength(3);
    expect(answers).toHaveLength(50);
  });

  test("cost one claim together when a message comes, and one more at most", async () => {
    const queue = await broker.newQueue();
    const id = await broker.idOf(queue);
    const answers: string[] = [];
    const waiting = Array.from({ length: 100 }, async () => {
      const [message] = await client.receive(queue, { wait: 20 });
      if (message) answers.push(message.body);
    });
    await claimed(queue);
    const before = claimsOf(statements, id);
    expect(before).toBeGreaterThan(0);
    await client.send(queue, ["m"]);
    await until(async () => answers.length > 0 && (await activeClaims()) === 0);
    expect(claimsOf(statements, id) - before).toBeLessThanOrEqual(2);
    await vi.advanceTimersByTimeAsync(20_000);
    await Promise.all(waiting);
    expect(answers).toEqual(["m"]);
  });

  test("that end and come again cost no claim while the queue stays empty", async () => {
    slowDown();
    const queue = await broker.newQueue();
    const id = await broker.idOf(queue);
    const first = await parked(queue);
    await passUntil(first.messages);
    const before = claimsOf(statements, id);
    expect(before).toBeGreaterThan(0);
    const again = client.receive(queue, { wait: 20, maxMessages: 10 });
    await pass(5);
    await untilQuiet();
    expect(claimsOf(statements, id)).toBe(before);
    // It wakes as any other one does.
    await otherProcess.send(queue, ["m"]);
    expect(bodiesOf(await again)).toEqual(["m"]);
  });

  describe("that come back from what they took", () => {
    /** The queue is looked at for what becomes visible, and the first message was taken. */
    async function tookFirst(queue: string, ...messages: Content[]): Promise<void> {
      const first = await parked(queue);
      await pass(1);
      await untilQuiet();
      await client.send(queue, messages);
      expect(await first.messages).toHaveLength(1);
      await untilQuiet();
    }

    test("cost no claim where nothing was left", async () => {
      slowDown();
      const queue = await broker.newQueue();
      await tookFirst(queue, "m");
      const before = claimsOf(statements, await broker.idOf(queue));
      expect(before).toBeGreaterThan(0);
      const again = client.receive(queue, { wait: 20 });
      await untilQuiet();
      expect(claimsOf(statements, await broker.idOf(queue))).toBe(before);
      await otherProcess.send(queue, ["next"]);
      expect(bodiesOf(await again)).toEqual(["next"]);
    });

    test("get what was delayed when it becomes visible", async () => {
      const queue = await broker.newQueue();
      await tookFirst(queue, "now", { body: "soon", delay: 1 });
      const again = client.receive(queue, { wait: 20 });
      await pass(1);
      expect(bodiesOf(await passUntil(again))).toEqual(["soon"]);
    });

    test("get at once what their claim left for want of room", async () => {
      const queue = await broker.newQueue();
      await tookFirst(queue, "m");
      await client.send(queue, numbered(6));
      await client.send(queue, numbered(6));
      // Half of what was asked for came whole, so the second one was not split.
      expect(await client.receive(queue, { maxMessages: 10 })).toHaveLength(6);
      expect(await client.receive(queue, { wait: 20, maxMessages: 10 })).toHaveLength(6);
    });
  });

  test("that repeat another one by its attempt id get what that has, though nothing else is there", async () => {
    slowDown();
    const queue = await broker.newQueue({ fifo: true });
    await client.send(queue, [one("g", "m")]);
    const first = await client.receive(queue, { attemptId: "one" });
    const gone = new AbortController();
    const other = await parked(queue, gone.signal);
    await pass(1);
    await untilQuiet();
    expect(await client.receive(queue, { wait: 20, attemptId: "one" })).toEqual(first);
    gone.abort();
    expect(await other.messages).toEqual([]);
  });

  test("that come again after a signal look for what it was about", async () => {
    const queue = await broker.newQueue();
    const first = await parked(queue);
    await passUntil(first.messages);
    await client.send(queue, ["m"]);
    await client.finish(queue);
    await client.send(queue, ["next"]);
    expect(bodiesOf(await client.receive(queue, { wait: 20 }))).toEqual(["next"]);
  });

  test("share a batch, each within what it asked for", async () => {
    const queue = await broker.newQueue();
    const waiting = [3, 1, 10, 7].map((maxMessages) =>
      client.receive(queue, { wait: 20, maxMessages }),
    );
    await until(async () => claimsOf(statements, await broker.idOf(queue)) > 0);
    await client.send(queue, numbered(21));
    const answers = await Promise.all(waiting);
    expect(answers.map((messages) => messages.length)).toEqual([3, 1, 10, 7]);
    expect(new Set(answers.flat().map((message) => message.messageId)).size).toBe(21);
  });
});

test.each([false, true])(
  "dead letters that have to wait are asked for now and then, fifo %j",
  async (fifo) => {
    const { queue, deadLetters } = await newPair(broker, 1, { fifo });
    const id = await broker.idOf(queue);
    await client.send(queue, [{ body: "m", groupId: "g", ...(fifo && { deduplicationId: "m" }) }]);
    await failOnce(client, queue);
    const deletion = await holdDeletion(broker, deadLetters, "COMMIT");
    const waiting = await parked(queue);
    await untilQuiet();
    const before = claimsOf(statements, id);
    expect(before).toBeGreaterThan(0);
    for (let ms = 0; ms < 500; ms += 20) {
      await vi.advanceTimersByTimeAsync(20);
      await untilQuiet();
    }
    expect(claimsOf(statements, id) - before).toBeLessThanOrEqual(5);
    await deletion.letGo();
    expect(bodiesOf(await passUntil(waiting.messages))).toEqual(["m"]);
  },
);

describe("when the wait is over", () => {
  test("it is answered with nothing", async () => {
    const queue = await broker.newQueue();
    const waiting = await parked(queue);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await waiting.messages).toEqual([]);
  });

  test("the queue's own wait counts where the call has none", async () => {
    const queue = await broker.newQueue({ receiveWait: 5 });
    const waiting = client.receive(queue);
    const impatient = client.receive(queue, { wait: 0 });
    expect(await impatient).toEqual([]);
    await client.send(queue, ["m"]);
    expect(bodiesOf(await waiting)).toEqual(["m"]);
  });

  test("while its claim is under way, it still gets what that claim finds", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    const claims = await holdClaims(broker.sql);
    const waiting = client.receive(queue, { wait: 1 });
    await untilBlocked(broker.sql);
    await vi.advanceTimersByTimeAsync(1_000);
    await claims.letGo();
    expect(bodiesOf(await waiting)).toEqual(["m"]);
  });

  test("while its claim is under way that finds nothing, it waits no longer", async () => {
    const queue = await broker.newQueue();
    const claims = await holdClaims(broker.sql);
    const waiting = client.receive(queue, { wait: 1 });
    await untilBlocked(broker.sql);
    await vi.advanceTimersByTimeAsync(1_000);
    await claims.letGo();
    expect(await waiting).toEqual([]);
  });
});

describe("a client that has gone away", () => {
  test("before a message came takes none", async () => {
    const queue = await broker.newQueue();
    const gone = new AbortController();
    const waiting = await parked(queue, gone.signal);
    gone.abort();
    expect(await waiting.messages).toEqual([]);
    await client.send(queue, ["m"]);
    expect(await client.receive(queue)).toMatchObject([{ body: "m", receiveCount: 1 }]);
  });

  test("before it asked is not served at all", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    expect(await client.receive(queue, { signal: AbortSignal.abort() })).toEqual([]);
    expect(await client.receive(queue)).toMatchObject([{ receiveCount: 1 }]);
  });

  test("while messages were claimed for it leaves them visible, and hands them to who waits", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["a", "b"]);
    const claims = await holdClaims(broker.sql);
    const gone = new AbortController();
    const leaving = client.receive(queue, { wait: 20, maxMessages: 2, signal: gone.signal });
    await untilBlocked(broker.sql);
    gone.abort();
    expect(await leaving).toEqual([]);
    const staying = otherProcess.receive(queue, { wait: 20, maxMessages: 2 });
    await untilBlocked(broker.sql, 2);
    await claims.letGo();
    expect(bodiesOf(await staying)).toEqual(["a", "b"]);
  });

  test("with what it was answered gives all of it back at once", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["a", "b", "c"]);
    const received = await broker.engine.receiver.receive(ACCOUNT, queue, { maxMessages: 2 });
    const released = broker.counted.released;
    await received.release();
    expect(broker.counted.released - released).toBe(2);
    expect(await broker.counts(queue)).toEqual({ visible: 3, inFlight: 0, delayed: 0 });
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(["a", "b", "c"]);
  });

  test("gives back nothing that somebody else has received since", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    const received = await broker.engine.receiver.receive(ACCOUNT, queue, {
      visibilityTimeout: 60,
    });
    await broker.clock.advance(60);
    const current = await otherProcess.receive(queue);
    await received.release();
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 1, delayed: 0 });
    expect(await otherProcess.acknowledge(queue, current)).toEqual(["ok"]);
  });
});

describe("whoever waits for a queue that is deleted is told so", () => {
  test.each([
    ["by its own process", client],
    ["by another process", otherProcess],
  ])("%s", async (_, deleter) => {
    const queue = await broker.newQueue();
    const waiting = await parked(queue);
    const told = expect(waiting.messages).rejects.toMatchObject({ code: "queue_not_found" });
    await deleter.engine.queues.delete(ACCOUNT, queue);
    deleter.engine.changed({ kind: "queue", account: ACCOUNT, name: queue });
    await told;
  });

  test("also after a change of the queue, which is no reason to end the wait", async () => {
    const queue = await broker.newQueue();
    const waiting = await parked(queue);
    const change = { kind: "queue", account: ACCOUNT, name: queue } as const;
    await otherProcess.engine.queues.update(ACCOUNT, queue, { visibilityTimeout: 5 });
    otherProcess.engine.changed(change);
    const told = expect(waiting.messages).rejects.toMatchObject({ code: "queue_not_found" });
    await otherProcess.engine.queues.delete(ACCOUNT, queue);
    otherProcess.engine.changed(change);
    await told;
  });

  test("not when a new one has its name already: it goes on with that", async () => {
    const queue = await broker.newQueue();
    const waiting = await parked(queue);
    await otherProcess.engine.queues.delete(ACCOUNT, queue);
    await otherProcess.engine.queues.create(ACCOUNT, queue, {});
    otherProcess.engine.changed({ kind: "queue", account: ACCOUNT, name: queue });
    await otherProcess.send(queue, ["m"]);
    expect(bodiesOf(await waiting.messages)).toEqual(["m"]);
  });
});

/** What a send leaves when its process dies between the commit and the signal. */
async function storeUnannounced(queue: string, body: string): Promise<void> {
  const bus = createInProcessBus();
  const { database, observer } = broker;
  await using dying = await Engine.open({ database, bus, observer, directQueues: 0 });
  await new Client(dying).send(queue, [body]);
}
