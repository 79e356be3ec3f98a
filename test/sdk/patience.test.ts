import { connect, queue } from "@sluice/client";
import { createProducer } from "@sluice/producer";
import { expect, test } from "vitest";
import { json, refusal, scriptedServer, silence, type Step } from "./scripted-server.ts";
import { stoppedClock } from "./stopped-clock.ts";

test("who waits behind a call that is repeated is told about when it is, and not after repeats of his own", async () => {
  using clock = stoppedClock();
  await using server = await scriptedServer((...answer) => {
    clock.advance(10);
    refusal(503, "unavailable")(...answer);
  });
  const retry = { baseDelayMs: 1, maxDelayMs: 1, budgetMs: 300 };
  await using producer = createProducer(connect({ url: server.url, retry }), {
    batching: { maxMessages: 1 },
  });
  const outcomes = await Promise.allSettled(
    ["first", "second", "third"].map((text) => producer.send(queue("away"), text)),
  );
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ reason: { code: "unavailable" } });
  const attempts = (text: string) => server.seen.filter(({ body }) => body.includes(text)).length;
  expect(attempts("second")).toBeGreaterThan(0);
  expect(attempts("third")).toBeGreaterThan(0);
  expect(attempts("second") + attempts("third")).toBeLessThan(attempts("first") / 2);
});

test("who waits behind calls that hang is refused unsent when a call of his own would have ended", async () => {
  await using server = await scriptedServer(silence);
  const retry = { baseDelayMs: 1, maxDelayMs: 1, budgetMs: 200 };
  const hanging = connect({ url: server.url, timeoutMs: 100, retry });
  expect(hanging.callLimitMs).toBe(300);
  await using producer = createProducer(hanging, { batching: { maxMessages: 1 } });
  const texts = Array.from({ length: 10 }, (_, index) => `message-${index}`);
  const outcomes = await Promise.allSettled(
    texts.map((text) => producer.send(queue("away"), text)),
  );
  const [first] = outcomes;
  expect(first).toMatchObject({ reason: { code: "timeout", outcomeUnknown: true } });
  for (const outcome of outcomes.slice(4)) {
    expect(outcome).toMatchObject({ reason: { code: "timeout", outcomeUnknown: false } });
  }
  const isSent = (text: string) => server.seen.some(({ body }) => body.includes(text));
  expect(texts.slice(4).filter(isSent)).toEqual([]);
});

test("who waits behind calls that are answered gets his turn, however late", async () => {
  using clock = stoppedClock();
  // A call may take 15 s, and each of these takes 12.
  const slow: Step = (...answer) => {
    clock.advance(12_000);
    setTimeout(() => json(200, { results: [{ messageId: "m" }] })(...answer), 30);
  };
  await using server = await scriptedServer(slow);
  const patient = connect({ url: server.url, timeoutMs: 15_000, retry: false });
  await using producer = createProducer(patient, { batching: { maxMessages: 1 } });
  const texts = Array.from({ length: 20 }, (_, index) => `message-${index}`);
  const sent = texts.map((text) => producer.send(queue("slow"), text));
  await expect(Promise.all(sent)).resolves.toHaveLength(20);
});
