import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@sluice/stack";
import { expect, test } from "vitest";
import { ClientLog, readCalls, readLog } from "./log.ts";

const line = (entry: object) => JSON.stringify(entry);

test("what clients wrote is read as calls with their outcomes, and what a killed one was writing is left out", async () => {
  await using folder = await temporaryFolder();
  const log = new ClientLog(folder.path, "consumer-1");
  const refused = log.invoke("purge", { queue: "a" });
  const answered = log.invoke("purge", { queue: "b" });
  const lost = log.invoke("purge", { queue: "c" });
  log.invoke("purge", { queue: "ü" });
  log.ok(answered, null);
  log.info(lost, "ECONNRESET");
  log.fail(refused, "404");
  log.close();
  await appendFile(join(folder.path, "consumer-1.jsonl"), '{"type":"invoke","call":5,');
  new ClientLog(folder.path, "consumer-2").close();

  const calls = [...readCalls(folder.path)];

  const seen = calls.map(({ client, request, outcome, end }) => ({
    client,
    request,
    outcome,
    ended: end < Infinity,
  }));
  const client = "consumer-1";
  expect(seen).toEqual([
    { client, request: { queue: "b" }, outcome: "ok", ended: true },
    { client, request: { queue: "c" }, outcome: "unknown", ended: false },
    { client, request: { queue: "a" }, outcome: "fail", ended: true },
    { client, request: { queue: "ü" }, outcome: "unknown", ended: false },
  ]);
});

test("lines longer than what is read at once come whole", async () => {
  await using folder = await temporaryFolder();
  const log = new ClientLog(folder.path, "publisher-1");
  const values = ["ü".repeat(700_000), "b", "€".repeat(900_000)];
  for (const value of values) {
    const call = log.invoke("send", { queue: "q", messages: [{ value, digest: "" }] });
    log.ok(call, [{ id: "1" }]);
  }
  log.close();
  const read = [...readCalls(folder.path)].map(
    ({ request }) => "messages" in request && request.messages[0]?.value,
  );
  // Not by what they are: a difference would be told in megabytes.
  expect(values.map((value, index) => value === read[index])).toEqual([true, true, true]);
});

test("a call that ends twice, or never began, is a history that is not to be trusted", () => {
  const begin = line({ type: "invoke", call: 1, at: 1, operation: "purge", request: {} });
  const end = line({ type: "ok", call: 1, at: 2, response: null });
  const client = "consumer-1";
  expect([...readLog([begin, end], { client })]).toHaveLength(1);
  expect(() => [...readLog([begin, end, end], { client })]).toThrow("consumer-1: call 1 ends");
  expect(() => [...readLog([end], { client })]).toThrow("consumer-1: call 1 ends");
});
