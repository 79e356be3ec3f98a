import { setImmediate } from "node:timers/promises";

import { expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { holdClaims, untilBlocked } from "./interleaving.ts";

test.each([
  ["standard", {}, {}],
  ["FIFO", { fifo: true, contentBasedDeduplication: true }, { groupId: "g" }],
])(
  "a closing engine makes visible again what a claim gets for a client that has gone: %s",
  async (_, settings, message) => {
    await using broker = await Broker.start({ engines: 2 });
    const queue = await broker.newQueue({ visibilityTimeout: 3_600, ...settings });
    await broker.client().send(queue, [{ body: "m", ...message }]);
    const held = await holdClaims(broker.sql);
    const gone = new AbortController();
    const { receiver } = broker.engine;
    const receiving = receiver.receive(ACCOUNT, queue, { signal: gone.signal });
    await untilBlocked(broker.sql);
    gone.abort();
    expect(await receiving).toMatchObject({ messages: 0 });
    let isClosed = false;
    const closing = broker.engine.close().then(() => (isClosed = true));
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    expect(isClosed).toBe(false);
    await held.letGo();
    await closing;
    expect(await broker.counts(queue)).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
  },
);
