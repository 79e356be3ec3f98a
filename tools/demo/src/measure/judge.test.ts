import { expect, test } from "vitest";
import { fingerprint } from "../fingerprint.ts";
import { judge, type Observations } from "./judge.ts";
import { PublishedLog } from "./published-log.ts";
import { Tally } from "./tally.ts";

const bodies = { a: '{"n":1}', b: '{"n":2}', c: '{"n":3}' };
const nothing = { visible: 0, inFlight: 0, delayed: 0 };

/** Three messages, published and handled as they should be; each test breaks one thing about it. */
function perfect() {
  const log = new PublishedLog();
  for (const [id, body] of Object.entries(bodies)) {
    log.add(id, { print: fingerprint(body), publishedAt: performance.now() });
  }
  const tallies = { audit: handledAll(), counter: handledAll(), slow: handledAll() };
  return {
    eventTypes: new Map([
      ["push", 2],
      ["star", 1],
    ]),
    log,
    tallies,
    left: { audit: nothing, counter: nothing, slow: nothing },
    counted: new Map([
      ["star", 1],
      ["push", 2],
    ]),
    auditLines: 3,
    incidents: [],
    seconds: 1,
  } satisfies Observations;
}

function handledAll(): Tally {
  const tally = new Tally();
  // Backwards: neither the order of delivery nor that of publishing may matter.
  for (const [id, body] of Object.entries(bodies).toReversed()) handle(tally, id, body);
  return tally;
}

function handle(tally: Tally, id: string, body: string, receiveCount = 1): void {
  const message = { id, body, receiveCount } as Parameters<Tally["received"]>[0];
  tally.received(message);
  tally.succeeded(message);
}

test("every message handled once and unchanged by every service is fine", () => {
  const { ok, problems, published, queues } = judge(perfect());
  expect(problems).toEqual([]);
  expect(ok).toBe(true);
  expect(queues.slow).toMatchObject({ received: 3, redelivered: 0, distinct: 3, bytes: 21 });
  expect(queues.slow.sha256).toBe(published.sha256);
});

test("a message that fails and succeeds when it comes again is fine", () => {
  const seen = perfect();
  seen.tallies.slow = new Tally();
  seen.tallies.slow.received({ id: "a", body: bodies.a, receiveCount: 1 } as never);
  for (const [id, body] of Object.entries(bodies)) handle(seen.tallies.slow, id, body, 2);
  const { ok, queues } = judge(seen);
  expect(ok).toBe(true);
  expect(queues.slow).toMatchObject({ received: 4, redelivered: 3, distinct: 3 });
});

const breakages: [string, (seen: ReturnType<typeof perfect>) => void, string][] = [
  [
    "a message that was not handled",
    ({ tallies }) => tallies.audit.handled.delete("b"),
    "audit: 1 messages were not handled, such as b",
  ],
  [
    "a message handled twice",
    ({ tallies }) => handle(tallies.counter, "a", bodies.a, 2),
    "counter: 1 messages were handled with success more than once, such as a",
  ],
  [
    "a message that nobody published",
    ({ tallies }) => handle(tallies.slow, "z", "{}"),
    "slow: 1 messages came that were not published, such as z",
  ],
  [
    "a body that was changed on the way",
    ({ tallies }) => tallies.slow.handled.set("c", fingerprint('{"n":4}')),
    "slow: 1 messages came with another body, such as c",
  ],
  [
    "bodies that were swapped",
    ({ tallies: { audit } }) => {
      audit.handled.set("a", fingerprint(bodies.b));
      audit.handled.set("b", fingerprint(bodies.a));
    },
    "audit: bytes or SHA-256 differ from what was published",
  ],
  [
    "a message that is left in a queue",
    (seen) => (seen.left.slow = { visible: 0, inFlight: 1, delayed: 0 }),
    "slow: the queue still holds 0 visible, 1 in flight and 0 delayed",
  ],
  [
    "a publish that never came off",
    ({ eventTypes }) => eventTypes.set("push", 3),
    "published: 3 messages instead of 4",
  ],
  [
    "an event that was counted under another type",
    ({ counted }) => counted.set("star", 2).set("push", 1),
    "counter: counted 1 events of type push instead of 2",
  ],
  [
    "a line that is missing in the audit log",
    (seen) => (seen.auditLines = 2),
    "audit: the log has 2 lines instead of 3",
  ],
];

test.each(breakages)("%s is told", (_, breakIt, problem) => {
  const seen = perfect();
  breakIt(seen);
  const { ok, problems } = judge(seen);
  expect(ok).toBe(false);
  expect(problems).toContain(problem);
});
