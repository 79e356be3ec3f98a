import { connect, createAdmin, json, queue, topic } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { freePort, startApi, startDispatcher, type ServiceProcess } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, expect, inject, test, vi } from "vitest";
import { startBalancer } from "./balancer.ts";
import { PlainClient } from "./plain-client.ts";

/*
 * New versions are rolled out by ending the processes one by one with SIGTERM, and starting each anew, while clients go on.
 */
const database = await createTestDatabase(inject("databaseUrl"));
afterAll(() => database[Symbol.asyncDispose]());

const numbers = topic("numbers", json<number>());
const counted = queue("counted", numbers);

/** A place for a process, which stays when the process is another one. */
class Place implements AsyncDisposable {
  readonly url: string;
  readonly #start: () => Promise<ServiceProcess>;
  #process: ServiceProcess | undefined;

  constructor(port: number, start: () => Promise<ServiceProcess>) {
    this.url = `http://127.0.0.1:${port}`;
    this.#start = start;
  }

  async start(): Promise<void> {
    this.#process = await this.#start();
  }

  /** Ends the process in order and starts another. */
  async restart(): Promise<void> {
    expect(await this.#process?.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.stop();
  }
}

async function startPlaces({ count, env = {} }: { count: number; env?: NodeJS.ProcessEnv }) {
  const place = async (start: typeof startApi) => {
    const port = await freePort();
    const settings = {
      databaseUrl: database.url,
      natsUrl: inject("natsUrl"),
      port,
      env: { HOST: "127.0.0.1", NATS_PREFIX: `restart-${process.pid}`, ...env },
    };
    const made = new Place(port, () => start(settings));
    await made.start();
    return made;
  };
  const several = (start: typeof startApi) =>
    Promise.all(Array.from({ length: count }, () => place(start)));
  const [apis, dispatchers] = await Promise.all([several(startApi), several(startDispatcher)]);
  const all = [...apis, ...dispatchers];
  return {
    apis,
    all,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((one) => one[Symbol.asyncDispose]()));
    },
  };
}

/** What is there already is left as it is. */
async function createAll(url: string): Promise<void> {
  const admin = createAdmin(connect({ url }));
  await admin.topics.create(numbers);
  await Promise.all([counted, queue("plain")].map((one) => admin.queues.create(one)));
  await admin.subscribe(numbers, counted);
}

/** Publishes and consumes by the SDK until it is told to stop; then tells what was published and what was received. */
function startProgram(url: string) {
  const connection = connect({ url });
  const producer = createProducer(connection);
  const failures: unknown[] = [];
  const published: number[] = [];
  const received = new Map<number, number>();
  const stopping = new AbortController();
  const publishing = Array.from({ length: 4 }, async (_, loop) => {
    for (let count = 0; !stopping.signal.aborted; count += 1) {
      const payload = loop * 1e6 + count;
      await producer.publish(numbers, payload).then(
        () => published.push(payload),
        (error: unknown) => failures.push(error),
      );
    }
  });
  const waited: unknown[] = [];
  const consumer = createConsumer(connection, counted, { wait: 5, onError: (e) => waited.push(e) });
  const consuming = consumer.run(({ payload }) => {
    received.set(payload, (received.get(payload) ?? 0) + 1);
  });
  return {
    failures,
    /** What the consumer's calls met and waited out. */
    waited,
    published,
    received,
    async stop() {
      stopping.abort();
      await Promise.all(publishing);
      await vi.waitFor(
        () => expect(received.size).toBeGreaterThanOrEqual(published.length),
        20_000,
      );
      await consumer.stop();
      await consuming;
    },
  };
}

test("behind a load balancer no request fails while all processes are restarted in turn", async () => {
  // Far longer than the balancer, which is a part of this process, stands still where the machine has others to run.
  await using places = await startPlaces({ count: 2, env: { SHUTDOWN_DELAY: "6" } });
  await using balancer = await startBalancer(places.apis.map(({ url }) => url));
  await balancer.untilReady(2);
  await createAll(balancer.url);

  const program = startProgram(balancer.url);
  using plain = new PlainClient(balancer.url);
  const stopping = new AbortController();
  const looping = Array.from({ length: 6 }, async () => {
    while (!stopping.signal.aborted) {
      await plain.post("/v1/queues/plain/messages", { messages: [{ body: "m" }] });
      const answer = await plain.post("/v1/queues/plain/receive", { maxMessages: 10, wait: 5 });
      const messages = (answer?.["messages"] ?? []) as { receiptHandle: string }[];
      const receiptHandles = messages.map(({ receiptHandle }) => receiptHandle);
      if (messages.length > 0) await plain.post("/v1/queues/plain/ack", { receiptHandles });
    }
  });
  for (const place of places.all) {
    await place.restart();
    await balancer.untilReady(2);
  }
  stopping.abort();
  await Promise.all(looping);
  await program.stop();

  expect(plain.tally.failed).toEqual([]);
  expect(plain.tally.answered).toBeGreaterThan(100);
  expect(program.failures).toEqual([]);
  expect(program.waited).toEqual([]);
  expect(program.published.length).toBeGreaterThan(100);
  expect([...program.received.values()].filter((times) => times !== 1)).toEqual([]);
  expect(balancer.turnedAway).toBe(0);
}, 120_000);

test("without one a program that uses the SDK waits for the only API to come back, and no call fails", async () => {
  await using places = await startPlaces({ count: 1 });
  const [api] = places.apis as [Place];
  const { url } = api;
  await createAll(url);
  const program = startProgram(url);
  await vi.waitFor(() => expect(program.received.size).toBeGreaterThan(20), 20_000);
  await api.restart();
  const before = program.published.length;
  await vi.waitFor(() => expect(program.published.length).toBeGreaterThan(before + 20), 20_000);
  await program.stop();
  expect(program.failures).toEqual([]);
  expect(new Set(program.received.keys())).toEqual(new Set(program.published));
});
