import { cleanUp, carryOnRedrives, foldLedger, type QueueTotals } from "@sluice/engine";
import { createInProcessBus } from "@sluice/bus";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { numbered } from "./client.ts";
import { change, newPair } from "./dead-letters.ts";
import { grouped } from "./fifo.ts";
import { holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

async function countsOf(queue: string) {
  const row = await broker.engine.queues.find(ACCOUNT, queue);
  if (!row) throw new Error(`there is no queue ${queue}`);
  return await broker.engine.queues.counts(row);
}

/** What the ledger says a queue holds. */
function resting(totals: QueueTotals): number {
  const { sent, deadLettersIn, redrivenIn, ...left } = totals;
  return sent + deadLettersIn + redrivenIn - Object.values(left).reduce((sum, n) => sum + n, 0);
}

/** What its slices say. */
async function stored(queue: string): Promise<number> {
  const [row] = await broker.sql<{ messages: number }[]>`
    SELECT coalesce(sum(bit_count(pending::bit(64))), 0)::int AS messages
    FROM (SELECT queue_id, pending FROM slices UNION ALL SELECT queue_id, pending FROM fifo_slices) s
    WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
  return row?.messages ?? 0;
}

/**
 * Folds everything: two slots have their turn after ten seconds, and the other two ten seconds later. It goes on where
 * one missed it: the clock does not stand still in between, and what is held for a moment is left for the next time.
 */
async function foldAll(): Promise<void> {
  let turns = 0;
  await until(async () => {
    await broker.clock.advance(10);
    await foldLedger(broker.sql);
    turns += 1;
    return turns > 1 && (await broker.sql`SELECT FROM queue_ledger LIMIT 1`).length === 0;
  });
}

/** Moves all dead letters back; by the dispatcher, where that is at it already. */
async function redriveAll(deadLetters: string): Promise<void> {
  const row = await broker.engine.queues.find(ACCOUNT, deadLetters);
  const { id } = await broker.engine.redrives.start(row!, {});
  await carryOnRedrives({
    sql: broker.sql,
    bus: createInProcessBus(),
    observer: broker.observer,
    signal: new AbortController().signal,
  });
  await until(async () => (await broker.engine.redrives.find(row!, id))?.status === "completed");
}

/** The ledger says what is stored; asked again where that has changed meanwhile, as by a clean-up. */
async function expectBalance(queue: string): Promise<void> {
  for (;;) {
    const before = await stored(queue);
    const { totals } = await countsOf(queue);
    if ((await stored(queue)) !== before) continue;
    expect(resting(totals)).toBe(before);
    return;
  }
}

test("the totals name each way in and out, before and after they are folded", async () => {
  const { queue, deadLetters } = await newPair(broker);
  const topic = await broker.newTopic([queue]);
  await client.publish(topic, numbered(100, "published"));
  await broker.untilFannedOut();
  await client.send(queue, numbered(70));
  const [cancelled] = await client.send(queue, [{ body: "later", delay: 600 }]);
  await broker.engine.cancelDelayed(ACCOUNT, queue, cancelled!);
  await client.acknowledge(queue, await client.receive(queue, { maxMessages: 20 }));
  await client.hide(queue, await client.receive(queue, { maxMessages: 10 }), 0);
  await client.drain(queue);
  await broker.clock.advance(61);
  await client.drain(queue);
  // Those that were met together with messages may still be on their way.
  await until(async () => (await broker.counts(deadLetters)).visible === 150);
  await redriveAll(deadLetters);
  await broker.engine.purge(ACCOUNT, queue);
  const before = await countsOf(queue);
  expect(before).toEqual({
    visible: 0,
    inFlight: 0,
    delayed: 0,
    oldestMessageAge: null,
    totals: {
      sent: 171,
      cancelled: 1,
      acknowledged: 20,
      deadLettered: 150,
      redrivenIn: 150,
      purged: 150,
      deadLettersIn: 0,
      redriven: 0,
      expired: 0,
    },
  });
  expect((await countsOf(deadLetters)).totals).toMatchObject({ deadLettersIn: 150, redriven: 150 });
  await foldAll();
  expect(await countsOf(queue)).toEqual(before);
});

test("the totals of a FIFO queue name each way in and out, a duplicate in none of them", async () => {
  const { queue, deadLetters } = await newPair(broker, 1, { fifo: true, delay: 60 });
  const [cancelled] = await client.send(queue, grouped("later", 1));
  await broker.engine.cancelDelayed(ACCOUNT, queue, cancelled!);
  await change(client, queue, { delay: 0 });
  await client.send(queue, [...grouped("a", 40), ...grouped("b", 40)]);
  await client.send(queue, [...grouped("a", 40), ...grouped("c", 5)]);
  await client.acknowledge(queue, await client.receive(queue, { maxMessages: 20 }));
  await client.hide(queue, await client.receive(queue, { maxMessages: 30 }), 0);
  await client.drain(queue);
  await client.drain(queue);
  const letters = (await countsOf(queue)).totals.deadLettered;
  expect(letters).toBeGreaterThanOrEqual(30);
  expect((await countsOf(deadLetters)).totals.deadLettersIn).toBe(letters);
  await redriveAll(deadLetters);
  await broker.engine.purge(ACCOUNT, queue);
  const before = await countsOf(queue);
  expect(before).toEqual({
    visible: 0,
    inFlight: 0,
    delayed: 0,
    oldestMessageAge: null,
    totals: {
      sent: 86,
      cancelled: 1,
      acknowledged: 20,
      deadLettered: letters,
      redrivenIn: letters,
      purged: 65,
      deadLettersIn: 0,
      redriven: 0,
      expired: 0,
    },
  });
  expect((await countsOf(deadLetters)).totals).toMatchObject({ redriven: letters });
  await foldAll();
  expect(await countsOf(queue)).toEqual(before);
});

describe("the ledger equation", () => {
  const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);

  test(`holds for each queue after any work (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const below = (limit: number) => Math.floor(random() * limit);
    const pairs = [
      await newPair(broker, 1, { retention: 600, visibilityTimeout: 0 }),
      await newPair(broker, 3, { visibilityTimeout: 0 }),
      await newPair(broker, 2, { visibilityTimeout: 0, retention: 600, fifo: true }),
      await newPair(broker, 2, { visibilityTimeout: 0, retention: 600, fifo: true, delay: 90 }),
    ];
    const queues = pairs.flatMap(({ queue, deadLetters }) => [queue, deadLetters]);
    const topic = await broker.newTopic(pairs.slice(0, 2).map(({ queue }) => queue));
    const delayed: { queue: string; id: string }[] = [];
    // Some of what a FIFO queue is sent it was sent before.
    const contentsFor = (queue: string, count: number) =>
      queue.endsWith(".fifo")
        ? grouped(`g${below(10)}`, Math.min(count, 60), below(1_000))
        : numbered(count);
    const work = async (number: number) => {
      const one = broker.client(number % 2);
      const queue = queues[below(queues.length)]!;
      switch (below(10)) {
        case 0:
          return void (await one.publish(topic, numbered(1 + below(150))));
        case 1:
          return void (await one.send(queue, contentsFor(queue, 1 + below(150))));
        case 2: {
          const contents = queue.endsWith(".fifo")
            ? contentsFor(queue, 5)
            : numbered(5).map((body) => ({ body, delay: below(2) * below(900) }));
          const ids = await one.send(queue, contents);
          delayed.push(...ids.map((id) => ({ queue, id })));
          return;
        }
        case 3: {
          const one_ = delayed[below(delayed.length)];
          if (one_)
            await one.engine.cancelDelayed(ACCOUNT, one_.queue, one_.id).catch(() => undefined);
          return;
        }
        case 4:
          return void (await one.receive(queue, { maxMessages: 1 + below(100) }));
        case 5: {
          const row = await one.engine.queues.find(ACCOUNT, queue);
          return void (await one.engine.redrives.start(row!, {}).catch(() => undefined));
        }
        case 6:
          return void (below(5) === 0 && (await one.engine.purge(ACCOUNT, queue)));
        case 7:
          await broker.clock.advance(below(120));
          return void (await cleanUp(broker.databases[1 + (number % 2)]!.maintenance));
        case 8:
          return void (await foldLedger(broker.sql));
        default: {
          const options = { maxMessages: 1 + below(100), visibilityTimeout: 60 };
          const messages = await one.receive(queue, options);
          return void (await one.acknowledge(queue, messages.slice(below(messages.length))));
        }
      }
    };
    for (let round = 0; round < 40; round += 1) {
      await Promise.all(Array.from({ length: 8 }, (_, number) => work(number)));
    }
    await until(async () => {
      const running = await broker.sql`SELECT FROM redrive_tasks WHERE status = 'running'`;
      return running.length === 0 && (await broker.waitingBatches()).length === 0;
    });
    for (const queue of queues) {
      await expectBalance(queue);
      const { totals, ...counts } = await countsOf(queue);
      expect(Object.values(totals).every((count) => count >= 0)).toBe(true);
      expect(counts.visible).toBeGreaterThanOrEqual(0);
    }
    await foldAll();
    for (const queue of queues) await expectBalance(queue);
  });
});

/** A generator of numbers from 0 to 1 that gives the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("folding", () => {
  test("nobody who counts meanwhile sees too few or too many", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(10));
    const ended = new AbortController();
    const counters = [0, 1].map(async () => {
      while (!ended.signal.aborted) expect((await countsOf(queue)).totals.sent).toBe(10);
    });
    for (let fold = 0; fold < 50; fold += 1) {
      await broker.sql`INSERT INTO queue_ledger (account, queue_id, kind, messages)
                       SELECT 0, ${await broker.idOf(queue)}::bigint, 'sent', n FROM (VALUES (1), (-1)) v(n)`;
      await broker.clock.advance(10);
      await foldLedger(broker.sql);
    }
    ended.abort();
    await Promise.all(counters);
  });

  test("a slot whose turn comes again before it is folded keeps what it had", async () => {
    const queue = await broker.newQueue();
    for (let turn = 0; turn < 3; turn += 1) {
      await client.send(queue, numbered(10));
      await broker.clock.advance(20);
    }
    expect((await countsOf(queue)).totals.sent).toBe(30);
    await foldAll();
    expect((await countsOf(queue)).totals.sent).toBe(30);
  });

  test("a slot that is still written to waits for the next time", async () => {
    const queue = await broker.newQueue();
    await foldAll();
    const id = await broker.idOf(queue);
    const write = await holdWith(
      broker.sql,
      `INSERT INTO queue_ledger (account, queue_id, kind, messages) VALUES (0, ${id}, 'sent', 5)`,
      "COMMIT",
    );
    await broker.sql`INSERT INTO queue_ledger (account, queue_id, kind, messages) VALUES (0, ${id}::bigint, 'sent', 1)`;
    await broker.clock.advance(10);
    await foldLedger(broker.databases[1]!.sql);
    expect((await countsOf(queue)).totals.sent).toBe(1);
    await write.letGo();
    expect((await countsOf(queue)).totals.sent).toBe(6);
    await foldAll();
    expect((await countsOf(queue)).totals.sent).toBe(6);
  });

  test("what is written while a fold waits for its turn is not lost", async () => {
    const queue = await broker.newQueue();
    await foldAll();
    const id = await broker.idOf(queue);
    const write = await holdWith(
      broker.sql,
      `INSERT INTO queue_ledger (account, queue_id, kind, messages) VALUES (0, ${id}, 'sent', 5)`,
      "COMMIT",
    );
    await client.send(queue, ["m"]);
    await broker.clock.advance(10);
    const blocked = new AbortController();
    const folding = (async () => {
      // It waits for a moment only, and only while it is the turn of the slot.
      while (!blocked.signal.aborted) {
        await foldLedger(broker.databases[1]!.sql);
        await broker.clock.advance(5);
      }
    })();
    await untilBlocked(broker.sql);
    await write.letGo();
    blocked.abort();
    await folding;
    expect((await countsOf(queue)).totals.sent).toBe(6);
  });

  test("keeps nothing of delays that are over", async () => {
    const queue = await broker.newQueue();
    const delays = async () =>
      await broker.sql`SELECT FROM queue_delays WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
    await client.send(queue, [{ body: "later", delay: 600 }]);
    await foldAll();
    expect(await delays()).toHaveLength(1);
    await broker.clock.advance(660);
    await client.send(queue, ["m"]);
    await foldAll();
    expect(await delays()).toHaveLength(0);
  });

  test("a deleted queue takes its totals along, also those not yet folded", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    await foldAll();
    await client.send(queue, ["n"]);
    const id = await broker.idOf(queue);
    await broker.engine.queues.delete(ACCOUNT, queue);
    await foldAll();
    expect(await broker.sql`SELECT FROM queue_totals WHERE queue_id = ${id}::bigint`).toEqual([]);
  });
});

describe("a backlog too long to be read", () => {
  /** Slices of one message each, as so many sends would have left them. */
  async function backlog(
    queue: string,
    slices: number,
    { delay = 0, age = 0 }: { delay?: number; age?: number } = {},
  ): Promise<void> {
    const id = await broker.idOf(queue);
    await broker.database.maintenance`
      WITH stored AS (
        INSERT INTO batches (id, account, sent_at, message_count, payload)
        SELECT ${id}::bigint * 1e12 + n, 0, now(), 1, '"messageId":"m","body":"m","attributes":{}'
        FROM generate_series(1, ${slices}::int) n
        ON CONFLICT DO NOTHING
      ), input AS (
        INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, moved)
        SELECT ${id}::bigint, sent_at + ${delay}::float8 * n / ${slices}::int * interval '1 second',
               ${id}::bigint * 1e12 + n, 1, 0, sent_at, ${delay}::float8 > 0
        FROM generate_series(1, ${slices}::int) n,
             (SELECT clock_timestamp() - ${age}::float8 * interval '1 second' AS sent_at) t
        RETURNING visible_at, moved
      )
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT 0, ${id}::bigint, 'sent', count(*), NULL FROM input
      UNION ALL
      SELECT 0, ${id}::bigint, 'delayed', count(*), date_trunc('minute', visible_at) FROM input WHERE moved GROUP BY 5`;
  }

  /** The same in a FIFO queue, dealt to ten groups in turn. */
  async function fifoBacklog(queue: string, slices: number, { delay = 0 } = {}): Promise<void> {
    const id = await broker.idOf(queue);
    await broker.sql`
      WITH input AS (
        INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at, delayed)
        SELECT ${id}::bigint, 'g' || n % 10, nextval('fifo_sequences'), n, 1, 0, sent_at + ${delay}::float8 * interval '1 second',
               sent_at, ${delay}::float8 > 0
        FROM generate_series(1, ${slices}::int) n, (SELECT clock_timestamp() AS sent_at) t
        RETURNING *
      ), grouped AS (
        INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
        SELECT queue_id, group_id, account, min(visible_at), min(sequence) FROM input i
        WHERE NOT EXISTS (SELECT FROM fifo_groups g WHERE g.queue_id = i.queue_id AND g.group_id = i.group_id)
        GROUP BY 1, 2, 3
      )
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT 0, ${id}::bigint, 'sent', count(*), NULL FROM input
      UNION ALL
      SELECT 0, ${id}::bigint, 'delayed', count(*), date_trunc('minute', visible_at) FROM input WHERE delayed GROUP BY 5`;
  }

  test("in a FIFO queue is counted by what came and what left as well", async () => {
    const queue = await broker.newQueue({ fifo: true, visibilityTimeout: 600 });
    await fifoBacklog(queue, 5_000);
    await fifoBacklog(queue, 3_000, { delay: 600 });
    await client.receive(queue, { maxMessages: 7 });
    const expected = { inFlight: 7, delayed: 3_000, visible: 4_993 };
    expect(await countsOf(queue)).toMatchObject(expected);
    await foldAll();
    const { oldestMessageAge, ...counts } = await countsOf(queue);
    expect(counts).toMatchObject(expected);
    expect(oldestMessageAge).toBeGreaterThanOrEqual(20);
  });

  test("is counted by what came and what left", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 600 });
    await backlog(queue, 5_000);
    await client.acknowledge(queue, await client.receive(queue, { maxMessages: 1 }));
    await client.send(queue, [{ body: "later", delay: 600 }]);
    const held = await client.receive(queue, { maxMessages: 7 });
    const expected = { inFlight: held.length, delayed: 1, visible: 5_000 - 1 - held.length };
    expect(await countsOf(queue)).toMatchObject(expected);
    await foldAll();
    expect(await countsOf(queue)).toMatchObject(expected);
  });

  test("is counted without what has expired in front of it", async () => {
    const queue = await broker.newQueue({ retention: 60 });
    await backlog(queue, 300, { age: 100 });
    await backlog(queue, 5_000);
    const counts = await countsOf(queue);
    expect(counts).toMatchObject({ visible: 5_000 });
    expect(counts.oldestMessageAge).toBeLessThan(60);
  });

  const slow = { timeout: 120_000 };
  test("of delayed messages is counted by the minutes that they wait for", slow, async () => {
    const queue = await broker.newQueue();
    await backlog(queue, 2_000);
    await backlog(queue, 126_000, { delay: 3_600 });
    for (let look = 0; look < 2; look += 1) {
      const { visible, delayed } = await countsOf(queue);
      expect(visible + delayed).toBe(128_000);
      // Some thousand have been due since.
      expect(visible).toBeGreaterThanOrEqual(2_000);
      expect(visible).toBeLessThan(6_000);
      await foldAll();
    }
    expect(await broker.engine.purge(ACCOUNT, queue)).toBe(128_000);
    expect(await countsOf(queue)).toMatchObject({ visible: 0, delayed: 0 });
    await foldAll();
    expect(await countsOf(queue)).toMatchObject({ visible: 0, delayed: 0 });
    expect(
      await broker.sql`SELECT FROM queue_delays WHERE queue_id = ${await broker.idOf(queue)}::bigint AND messages <> 0
                       AND due_at > clock_timestamp()`,
    ).toHaveLength(0);
  });
});
