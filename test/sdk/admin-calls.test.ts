import { connect, createAdmin } from "@sluice/client";
import type { AdminCallOptions } from "@sluice/client";
import { expect, test } from "vitest";
import { json, scriptedServer, silence } from "./scripted-server.ts";
import type { Step } from "./scripted-server.ts";

const admin = createAdmin(connect({ url: "http://127.0.0.1:1" }));
const { topics, queues, subscriptions, messages } = admin;
const { redrives } = queues;
const { replays } = subscriptions;

type Calls = Record<string, (call: AdminCallOptions) => Promise<unknown>>;

/** All of each, but for what iterates. */
const calls: [string, object, Calls][] = [
  ["admin", admin, { subscribe: (call) => admin.subscribe("t", "q", {}, call) }],
  [
    "topics",
    topics,
    {
      create: (call) => topics.create("t", {}, call),
      ensure: (call) => topics.ensure("t", {}, call),
      get: (call) => topics.get("t", call),
      update: (call) => topics.update("t", { maxMessageSize: 2_048 }, call),
      delete: (call) => topics.delete("t", call),
    },
  ],
  [
    "queues",
    queues,
    {
      create: (call) => queues.create("q", {}, call),
      ensure: (call) => queues.ensure("q", {}, call),
      get: (call) => queues.get("q", call),
      update: (call) => queues.update("q", { delay: 1 }, call),
      delete: (call) => queues.delete("q", call),
      pause: (call) => queues.pause("q", call),
      resume: (call) => queues.resume("q", call),
      purge: (call) => queues.purge("q", call),
      cancelDelayed: (call) => queues.cancelDelayed("q", "id", call),
    },
  ],
  [
    "redrives",
    redrives,
    {
      start: (call) => redrives.start("q", {}, call),
      get: (call) => redrives.get("q", "id", call),
      list: (call) => redrives.list("q", call),
      cancel: (call) => redrives.cancel("q", "id", call),
      finished: (call) => redrives.finished("q", "id", call),
    },
  ],
  [
    "subscriptions",
    subscriptions,
    {
      create: (call) => subscriptions.create("t", "q", {}, call),
      ensure: (call) => subscriptions.ensure("t", "q", {}, call),
      get: (call) => subscriptions.get("id", call),
      update: (call) => subscriptions.update("id", { rawDelivery: true }, call),
      delete: (call) => subscriptions.delete("id", call),
      match: (call) => subscriptions.match("t", { body: "m" }, call),
      matchArchived: (call) => subscriptions.matchArchived("t", 1, call),
    },
  ],
  [
    "replays",
    replays,
    {
      start: (call) => replays.start("id", { from: "id" }, call),
      get: (call) => replays.get("id", "id", call),
      list: (call) => replays.list("id", call),
      cancel: (call) => replays.cancel("id", "id", call),
      finished: (call) => replays.finished("id", "id", call),
    },
  ],
  ["messages", messages, { trace: (call) => messages.trace("id", call) }],
];

/** How errors begin that name a call: as the program does, then as the server does. */
function nameOf(of: object, name: string): RegExp {
  const owners = new Map<object, string>([
    [topics, "topics"],
    [queues, "queues"],
    [redrives, "queues.redrives"],
    [subscriptions, "subscriptions"],
    [replays, "subscriptions.replays"],
    [messages, "messages"],
  ]);
  // `subscribe` is short for it.
  const called = of === admin ? "subscriptions.create" : `${owners.get(of)}.${name}`;
  return new RegExp(`^admin\\.${called} \\([A-Z]+ /v1/`);
}

test.each(calls)(
  "every call of %s can be given up, which names it, and takes no option that there is not",
  async (_, of, each) => {
    const named = Object.getOwnPropertyNames(Object.getPrototypeOf(of));
    const iterating = ["constructor", "list", "peek"].filter((name) => !Object.hasOwn(each, name));
    expect(Object.keys(each).toSorted()).toEqual(
      named.filter((name) => !iterating.includes(name)).toSorted(),
    );
    for (const [name, call] of Object.entries(each)) {
      await expect(call({ signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: "aborted",
        call: expect.stringMatching(nameOf(of, name)) as string,
        message: expect.stringMatching(nameOf(of, name)) as string,
      });
      const unknown = { timeoutMs: 1 } as AdminCallOptions;
      await expect(call(unknown)).rejects.toMatchObject({
        code: "invalid_request",
        details: [{ path: "timeoutMs", message: "there is no such option, only signal" }],
      });
    }
  },
);

test("a call that is under way is given up", async () => {
  await using mute = await scriptedServer(silence);
  const signal = AbortSignal.timeout(50);
  const call = createAdmin(connect({ url: mute.url })).queues.purge("q", { signal });
  await expect(call).rejects.toMatchObject({ code: "aborted", outcomeUnknown: true });
});

test("a purge is waited for longer than other calls: a large queue takes its time", async () => {
  const late: Step = (...answer) => void setTimeout(() => json(200, { purged: 7 })(...answer), 200);
  await using slow = await scriptedServer(late);
  const { queues: slowQueues } = createAdmin(
    connect({ url: slow.url, timeoutMs: 50, retry: false }),
  );
  await expect(slowQueues.get("q")).rejects.toMatchObject({ code: "timeout" });
  expect(await slowQueues.purge("q")).toBe(7);
});

test("what a redrive or a replay does not know is refused before it starts", async () => {
  const redrive = { destinaton: "q", rate: 1 };
  await expect(redrives.start("dead", redrive)).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "destinaton", message: "there is no such option, only destination, rate" }],
  });
  const replay = { from: "id", until: new Date() };
  await expect(replays.start("id", replay)).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "until", message: "there is no such option, only from, to, rate" }],
  });
});

test("what is published while an archive is tried is left out, since it was not tried on all", async () => {
  const publishedAt = "2026-12-01T10:00:00.000Z";
  const page = (messages: [string, string][], nextCursor?: string) =>
    json(200, {
      messages: messages.map(([messageId, subscription]) => ({
        messageId,
        publishedAt,
        matches: [{ subscription, queue: "q", matches: true }],
      })),
      nextCursor,
    });
  const second: [string, string][] = [
    ["new", "b"],
    ["old", "b"],
  ];
  await using server = await scriptedServer(page([["old", "a"]], "next"), page(second));
  const tried = createAdmin(connect({ url: server.url })).subscriptions.matchArchived("t", 10);
  await expect(tried).resolves.toMatchObject([
    { messageId: "old", matches: [{ subscription: "a" }, { subscription: "b" }] },
  ]);
  expect(await tried).toHaveLength(1);
  // A thousand subscriptions in all.
  expect(server.seen.map(({ url }) => url)).toEqual([
    "/v1/topics/t/match?limit=1000",
    "/v1/topics/t/match?limit=999&cursor=next",
  ]);
});
