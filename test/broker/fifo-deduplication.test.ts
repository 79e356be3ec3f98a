import { afterAll, describe, expect, test } from "vitest";

import type { QueueSettings, WriteResult } from "@sluice/engine";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, type Client } from "./client.ts";
import type { Content } from "./content.ts";
import { finishInOrder, one } from "./fifo.ts";

// Nobody cleans up: the key of a call is gone with the first clean-up after five minutes.
const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

function newFifo(settings: Partial<QueueSettings> = {}): Promise<string> {
  return broker.newQueue({ fifo: true, ...settings });
}

/** What each message was answered with: its id and number, as one text. */
async function send(by: Client, queue: string, contents: readonly Content[]): Promise<string[]> {
  const results = await by.engine.sender.send(ACCOUNT, queue, contents as never);
  return results.map(answer);
}

function answer(result: WriteResult): string {
  if ("error" in result) throw new Error(result.error.message);
  return `${result.messageId} ${result.sequenceNumber}`;
}

describe("a duplicate is answered with the message that was there first, and not stored again:", () => {
  test("by its deduplication id, whatever its body", async () => {
    const queue = await newFifo();
    const [first] = await send(client, queue, [one("a", "d")]);
    const again = { body: "other", groupId: "b", deduplicationId: "d" };
    expect(await send(otherProcess, queue, [again])).toEqual([first]);
    expect(await finishInOrder(client, queue)).toEqual(["d"]);
  });

  test("within one call, where each of the others is stored", async () => {
    const queue = await newFifo();
    const ids = await send(
      client,
      queue,
      ["1", "2", "1", "3", "2"].map((body) => one("a", body)),
    );
    expect(ids[2]).toBe(ids[0]);
    expect(ids[4]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(3);
    expect(await finishInOrder(client, queue)).toEqual(["1", "2", "3"]);
  });

  test("however many processes send it at once", async () => {
    const queue = await newFifo();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        send(broker.client(index % 2), queue, [one("a", "d")]),
      ),
    );
    expect(new Set(answers.flat()).size).toBe(1);
    expect(await finishInOrder(client, queue)).toEqual(["d"]);
  });

  test("also after it was acknowledged", async () => {
    const queue = await newFifo();
    const first = await send(client, queue, [one("a", "d")]);
    expect(await finishInOrder(client, queue)).toEqual(["d"]);
    expect(await send(otherProcess, queue, [one("a", "d")])).toEqual(first);
    expect(await client.receive(queue)).toEqual([]);
  });

  test("for five minutes from the first one on, which duplicates do not make longer", async () => {
    const queue = await newFifo();
    const first = await send(client, queue, [one("a", "d")]);
    await broker.clock.advance(290);
    expect(await send(client, queue, [one("a", "d")])).toEqual(first);
    await broker.clock.advance(11);
    const second = await send(client, queue, [one("a", "d")]);
    expect(second).not.toEqual(first);
    await broker.clock.advance(290);
    expect(await send(client, queue, [one("a", "d")])).toEqual(second);
    expect(await finishInOrder(client, queue)).toEqual(["d", "d"]);
  });

  test("also where the clock of the database was put back since, by more than that", async () => {
    const queue = await newFifo();
    const first = await send(client, queue, [one("a", "d")]);
    await broker.clock.advance(-400);
    expect(await send(client, queue, [one("a", "d")])).toEqual(first);
    expect(await send(otherProcess, queue, [one("a", "d")])).toEqual(first);
    const later = await send(client, queue, [one("a", "e")]);
    expect(await send(client, queue, [one("a", "e")])).toEqual(later);
    await broker.clock.advance(400);
    expect(await finishInOrder(client, queue)).toEqual(["d", "e"]);
  });

  test("in its own queue only", async () => {
    const [queue, other] = [await newFifo(), await newFifo()];
    const first = await send(client, queue, [one("a", "d")]);
    expect(await send(client, other, [one("a", "d")])).not.toEqual(first);
  });
});

describe("with content-based deduplication", () => {
  test("the same body is a duplicate, whatever its attributes", async () => {
    const queue = await newFifo({ contentBasedDeduplication: true });
    const first = await send(client, queue, [{ body: "m", groupId: "a" }]);
    const attributes = { a: { type: "String", value: "v" } };
    expect(await send(client, queue, [{ body: "m", groupId: "a", attributes }])).toEqual(first);
    expect(await send(client, queue, [{ body: "n", groupId: "a" }])).not.toEqual(first);
    const messages = await client.receive(queue, { maxMessages: 10 });
    expect(bodiesOf(messages)).toEqual(["m", "n"]);
    expect(messages[0]?.deduplicationId).toMatch(/^[0-9a-f]{64}$/);
  });

  test("an explicit id wins", async () => {
    const queue = await newFifo({ contentBasedDeduplication: true });
    const first = await send(client, queue, [{ body: "m", groupId: "a" }]);
    const explicit = { body: "m", groupId: "a", deduplicationId: "d" };
    expect(await send(client, queue, [explicit])).not.toEqual(first);
  });
});

test("with the scope of a message group the same id is another message in another group", async () => {
  const queue = await newFifo({ deduplicationScope: "messageGroup" });
  const ids = await send(client, queue, [one("a", "d"), one("b", "d"), one("a", "d")]);
  expect(ids[1]).not.toBe(ids[0]);
  expect(ids[2]).toBe(ids[0]);
});

describe("a repeat of a call with the same Idempotency-Key", () => {
  test("gets the same answer, duplicates and refusals included", async () => {
    const queue = await newFifo();
    await send(client, queue, [one("a", "1")]);
    const contents = [one("a", "1"), one("a", "2"), { body: "no group" }] as never;
    const options = { idempotencyKey: "a key" };
    const first = await client.engine.sender.send(ACCOUNT, queue, contents, options);
    await broker.clock.advance(310);
    const again = await otherProcess.engine.sender.send(ACCOUNT, queue, contents, options);
    expect(again).toEqual(first);
    expect(first).toMatchObject([
      { sequenceNumber: expect.any(String) },
      { sequenceNumber: expect.any(String) },
      { error: {} },
    ]);
    expect(await finishInOrder(client, queue)).toEqual(["1", "2"]);
  });

  test("and both at once store it once", async () => {
    const queue = await newFifo();
    const contents = [one("a", "1"), one("a", "2")] as never;
    const answers = await Promise.all(
      [client, otherProcess, client].map((by) =>
        by.engine.sender.send(ACCOUNT, queue, contents, { idempotencyKey: "at once" }),
      ),
    );
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    expect(await finishInOrder(client, queue)).toEqual(["1", "2"]);
  });
});

test("a batch of duplicates only is not stored", async () => {
  const queue = await newFifo();
  await send(client, queue, [one("a", "d")]);
  const [before] = await broker.sql`SELECT count(*) FROM batches`;
  await send(client, queue, [one("a", "d"), one("a", "d")]);
  expect(await broker.sql`SELECT count(*) FROM batches`).toEqual([before]);
});
