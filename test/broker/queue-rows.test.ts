import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());

test("queues that are read together are what each is when it is read alone", async () => {
  const queues = broker.engines[0]!.queues;
  const deadLetters = await broker.newQueue();
  const plain = await broker.newQueue({ receiveWait: 20 });
  const withDeadLetters = await broker.newQueue({
    redrive: { deadLetterQueue: deadLetters, maxReceiveCount: 3 },
  });
  await broker.newQueue();
  const found = await queues.findAll(ACCOUNT, [plain, "there-is-none", withDeadLetters]);
  expect([...found.keys()].sort()).toEqual([plain, withDeadLetters].sort());
  expect(found.get(plain)).toEqual(await queues.find(ACCOUNT, plain));
  expect(found.get(withDeadLetters)).toEqual(await queues.find(ACCOUNT, withDeadLetters));
  expect(await queues.findAll("999999999999", [plain])).toEqual(new Map());
});
