import { startProxy } from "@sluice/chaos";
import { startApi } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, expect, inject, test, vi } from "vitest";
import { residentBytes } from "./resident-bytes.ts";

/*
 * An API process whose Postgres is slow is offered three times what the two can do together. It is the way to Postgres that is
 * slow, so that whoever offers the load has the processor for it.
 */
const MIB = 1_024 * 1_024;
const body = JSON.stringify({ messages: [{ body: "x".repeat(MIB / 4) }] });

const database = await createTestDatabase(inject("databaseUrl"));
const way = await startProxy(Number(new URL(database.url).port));
const databaseUrl = new URL(database.url);
databaseUrl.port = String(way.port);
const api = await startApi({
  databaseUrl: databaseUrl.href,
  natsUrl: inject("natsUrl"),
  env: { HOST: "127.0.0.1", NATS_PREFIX: `shedding-${process.pid}` },
});
afterAll(async () => {
  way.set({});
  await api.stop();
  await way[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

interface Outcome {
  status: number;
  retryAfter: number;
}

async function send(text = body): Promise<Outcome> {
  const { status, headers } = await fetch(`${api.url}/v1/queues/queue/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: text,
  });
  return { status, retryAfter: Number(headers.get("retry-after")) };
}

/** Sends as fast as answers come, and returns how many were answered in a second. */
async function sustainableRate(seconds: number): Promise<number> {
  const began = performance.now();
  let answered = 0;
  const loops = Array.from({ length: 100 }, async () => {
    while (performance.now() < began + seconds * 1_000) {
      expect((await send()).status).toBe(200);
      answered += 1;
    }
  });
  await Promise.all(loops);
  return answered / ((performance.now() - began) / 1_000);
}

/** Sends at a rate, whatever is answered, until some have been refused for two seconds. */
async function offer(rate: number): Promise<{ outcomes: Outcome[]; seconds: number }> {
  const outcomes: Promise<Outcome>[] = [];
  const began = performance.now();
  let until = began + 40_000;
  const sendOne = async () => {
    const outcome = await send();
    if (outcome.status !== 200) until = Math.min(until, performance.now() + 2_000);
    return outcome;
  };
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      while (outcomes.length < ((now - began) / 1_000) * rate) outcomes.push(sendOne());
      if (now < until) return;
      clearInterval(timer);
      resolve();
    }, 20);
  });
  const seconds = (performance.now() - began) / 1_000;
  return { outcomes: await Promise.all(outcomes), seconds };
}

test("three times what it can do is shed with Retry-After, and it goes on as before when that is over", async () => {
  await fetch(`${api.url}/v1/queues`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"name":"queue"}',
  });
  way.set({ delayMs: 100 });
  const rate = await sustainableRate(2);
  const [before, sentBefore] = [await residentBytes(api), await visible()];
  const { outcomes, seconds } = await offer(3 * rate);

  const answered = outcomes.filter(({ status }) => status === 200);
  const refused = outcomes.filter(({ status }) => status !== 200);
  expect(refused.filter(({ status }) => ![429, 503].includes(status))).toEqual([]);
  expect(refused.filter(({ retryAfter }) => !(retryAfter > 0))).toEqual([]);
  expect(refused.length).toBeGreaterThan(0);
  // It does as much as it could before, and not less for being asked for more.
  expect(answered.length / seconds).toBeGreaterThan(rate / 2);
  expect((await residentBytes(api)) - before).toBeLessThan(768 * MIB);
  expect(await visible()).toBe(sentBefore + answered.length);

  await vi.waitFor(async () => {
    const sent = performance.now();
    expect((await send('{"messages":[{"body":"m"}]}')).status).toBe(200);
    expect(performance.now() - sent).toBeLessThan(2_000);
  }, 20_000);
}, 90_000);

async function visible(): Promise<number> {
  const answer = await fetch(`${api.url}/v1/queues/queue`);
  return ((await answer.json()) as { counts: { visible: number } }).counts.visible;
}
