import { afterAll, expect, test } from "vitest";

import { TestApi } from "./api.ts";

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());

const MIB = 2 ** 20;

/** All items of a list, and how long each page was, in bytes. */
async function walk(path: string, list: string) {
  const items: Record<string, unknown>[] = [];
  const lengths: number[] = [];
  let cursor: string | undefined;
  do {
    const next = cursor === undefined ? "" : `&cursor=${cursor}`;
    const page = await api.ok<Record<string, unknown>>(`GET ${path}?limit=1000${next}`);
    items.push(...(page[list] as Record<string, unknown>[]));
    lengths.push(Buffer.byteLength(JSON.stringify(page)));
    cursor = page["nextCursor"] as string | undefined;
  } while (cursor !== undefined);
  return { items, lengths };
}

function name(index: number): string {
  return `n${String(index).padStart(2, "0")}`;
}

test("subscriptions with large filter policies come in pages of some MiB, each once", async () => {
  await api.ok("POST /v1/topics", { body: { name: "topic" } });
  const filterPolicy = { k: Array.from({ length: 145 }, (_, n) => `${n}${"x".repeat(1_750)}`) };
  const queues = Array.from({ length: 25 }, (_, index) => `${name(index)}-subscribed`);
  for (const [index, queue] of queues.entries()) {
    await api.ok("POST /v1/queues", { body: { name: queue } });
    // Some without one: they have no length.
    const body = index % 10 === 9 ? { queue } : { queue, filterPolicy };
    await api.ok("POST /v1/topics/topic/subscriptions", { body });
  }
  for (const path of ["/v1/subscriptions", "/v1/topics/topic/subscriptions"]) {
    const { items, lengths } = await walk(path, "subscriptions");
    expect(items.map(({ queue }) => queue)).toEqual(queues);
    expect(items.map((item) => item["filterPolicy"] !== null)).toEqual(
      queues.map((_, index) => index % 10 !== 9),
    );
    expect(lengths).toHaveLength(2);
    expect(Math.max(...lengths)).toBeLessThan(4.5 * MIB);
  }
});

test.each(["queues", "topics"])("so do %s with large tags", async (list) => {
  const names = Array.from({ length: 90 }, (_, index) => `${name(index)}-tagged`);
  const tags = Object.fromEntries(
    Array.from({ length: 50 }, (_, n) => [String(n).padEnd(128, "€"), "€".repeat(256)]),
  );
  for (const each of names) await api.ok(`POST /v1/${list}`, { body: { name: each, tags } });
  const { items, lengths } = await walk(`/v1/${list}`, list);
  const tagged = items.filter((item) => names.includes(String(item["name"])));
  expect(tagged.map((item) => item["name"])).toEqual(names);
  expect(tagged.map((item) => item["tags"])).toEqual(names.map(() => tags));
  expect(lengths).toHaveLength(2);
  expect(Math.max(...lengths)).toBeLessThan(4.5 * MIB);
});
