import { expect, test } from "vitest";

import { bodyMaker, stampOf } from "./bodies.ts";
import { Ledger } from "./ledger.ts";

const stamps = (...numbers: number[]) => numbers.map((n) => ({ n, t: 0 }));

test("a ledger with every message once has nothing to complain of, in whatever order", () => {
  const ledger = new Ledger(3);
  ledger.take(stamps(2));
  ledger.take(stamps(0, 1));
  expect(ledger.complete).toBe(true);
  expect(ledger.complaint()).toBeUndefined();
});

test("latencies count from the message on that is named, in whatever order they come", () => {
  const ledger = new Ledger(4, { timedFrom: 2 });
  ledger.take(stamps(3, 0));
  ledger.take(stamps(1, 2));
  expect(ledger.latencies).toHaveLength(2);
  expect(new Ledger(4).latencies).toHaveLength(0);
});

test("a missing message, one that came twice and one that nobody published are told", () => {
  const ledger = new Ledger(3);
  ledger.take(stamps(0, 0, 1, 7));
  expect(ledger.complete).toBe(false);
  expect(ledger.complaint()).toBe("of 3 messages 1 missing, 1 received twice, 1 never published");
});

test("two messages of one group in the wrong order are told", () => {
  const ledger = new Ledger(4, { groups: 2 });
  ledger.take(stamps(0, 3, 1, 2));
  expect(ledger.complaint()).toBe("of 4 messages 1 out of order");
});

test("a body has exactly so many bytes and says where it belongs", () => {
  const make = bodyMaker({ kind: "random", bytes: 256 });
  for (const n of [0, 9, 123_456]) {
    const body = make(n, 1_234_567_890);
    expect(Buffer.byteLength(body)).toBe(256);
    expect(stampOf(body)).toEqual({ n, t: 1_234_567_890 });
  }
});

test("a webhook is still JSON and says where it belongs", () => {
  const body = bodyMaker({ kind: "webhooks" })(17, 42);
  expect(JSON.parse(body)).toMatchObject({ n: 17, t: 42 });
  expect(stampOf(body)).toEqual({ n: 17, t: 42 });
});

test("the stamp is found in what jsonb makes of a body", () => {
  expect(stampOf('{"n": 5, "t": 6, "data": "x"}')).toEqual({ n: 5, t: 6 });
  expect(() => stampOf('{"data":"x"}')).toThrow("nobody published");
});
