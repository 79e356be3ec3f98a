import { Socket } from "node:net";

import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";

import { Conversation, MessageCounter, SilenceWatch } from "./silence.ts";

afterEach(() => {
  vi.useRealTimers();
});

const message = fc
  .record({ type: fc.constantFrom(..."SQZDCB2"), body: fc.uint8Array({ maxLength: 40 }) })
  .map(({ type, body }) => {
    const bytes = Buffer.alloc(5 + body.length);
    bytes.write(type);
    bytes.writeUInt32BE(4 + body.length, 1);
    bytes.set(body, 5);
    return { type, bytes };
  });

test("messages are counted by their types, wherever the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (messages, sizes) => {
        const stream = Buffer.concat(messages.map(({ bytes }) => bytes));
        const counter = new MessageCounter("SQ");
        let counted = 0;
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          counted += counter.count(stream.subarray(at, at + size));
          at += size;
        }
        expect(counted).toBe(messages.filter(({ type }) => "SQ".includes(type)).length);
      },
    ),
  );
});

test("the limit doubles with each connection that is given up, and an answer sets it back", () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  const watch = new SilenceWatch(1_000);
  /** How long a connection is waited for that is asked something and does not answer, in ms. */
  const patience = () => {
    const conversation = new Conversation(new Socket().on("error", () => {}));
    watch.add(conversation);
    conversation.wrote(Buffer.from([0x53, 0, 0, 0, 4]), true);
    let waited = 0;
    for (; !conversation.socket.destroyed; waited += 125) vi.advanceTimersByTime(125);
    watch.remove(conversation);
    return waited;
  };
  // It is looked at every 125 ms.
  expect([patience(), patience(), patience()]).toEqual([1_125, 2_125, 4_125]);
  watch.answered();
  expect(patience()).toBe(1_125);
});
