import { afterEach, expect, test, vi } from "vitest";

import { SluiceError } from "../errors.ts";
import { Directory } from "./directory.ts";

interface Row {
  id: string;
}

const notFound = (name: string) => new SluiceError("queue_not_found", name);

afterEach(() => void vi.useRealTimers());

/** Rows that a test changes, and how often they were asked for. */
function directory(rows: Record<string, Row | Error>) {
  const asked: string[] = [];
  const of = new Directory<Row>({
    find: async (account, name) => {
      asked.push(`${account}/${name}`);
      const row = rows[name];
      if (row instanceof Error) throw row;
      return await Promise.resolve(row);
    },
    findAll: async (_, names) => {
      asked.push(names.join());
      const found = names.flatMap((name) => {
        const row = rows[name];
        if (row instanceof Error) throw row;
        return row ? [[name, row] as const] : [];
      });
      return await Promise.resolve(new Map(found));
    },
    notFound,
    doubts: ["receipt_handle_invalid"],
  });
  return { of, asked, rows };
}

test("a name is looked up once", async () => {
  const { of, asked } = directory({ a: { id: "1" } });
  expect([await of.get("0", "a"), await of.get("0", "a")]).toEqual([{ id: "1" }, { id: "1" }]);
  expect(asked).toEqual(["0/a"]);
});

test("calls that look a name up at once share one query", async () => {
  const { of, asked } = directory({ a: { id: "1" } });
  await Promise.all([of.get("0", "a"), of.get("0", "a"), of.get("1", "a")]);
  expect(asked).toEqual(["0/a", "1/a"]);
});

test("a name that does not exist is refused, and asked for again", async () => {
  const { of, rows } = directory({});
  await expect(of.get("0", "a")).rejects.toMatchObject({ code: "queue_not_found" });
  rows["a"] = { id: "1" };
  expect(await of.get("0", "a")).toEqual({ id: "1" });
});

test("a failed query is not remembered", async () => {
  const { of, rows } = directory({ a: new Error("away") });
  await expect(of.get("0", "a")).rejects.toThrow("away");
  rows["a"] = { id: "1" };
  expect(await of.get("0", "a")).toEqual({ id: "1" });
});

test("a name that was forgotten is looked up anew", async () => {
  const { of, rows } = directory({ a: { id: "1" }, b: { id: "2" } });
  await Promise.all([of.get("0", "a"), of.get("0", "b")]);
  rows["a"] = { id: "3" };
  rows["b"] = { id: "4" };
  of.forget("0", "a");
  expect([await of.get("0", "a"), await of.get("0", "b")]).toEqual([{ id: "3" }, { id: "2" }]);
  of.forgetAll();
  expect(await of.get("0", "b")).toEqual({ id: "4" });
});

test("what a look-up finds that was under way when its name was forgotten is not remembered", async () => {
  const { of, rows } = directory({ a: { id: "old" } });
  const underWay = of.get("0", "a");
  rows["a"] = { id: "new" };
  of.forget("0", "a");
  const after = of.get("0", "a");
  expect([await underWay, await after]).toEqual([{ id: "old" }, { id: "new" }]);
  expect(await of.get("0", "a")).toEqual({ id: "new" });
});

test.each(["queue_not_found", "receipt_handle_invalid"] as const)(
  "a call that fails with %s goes once more with a fresh row",
  async (code) => {
    const { of, rows } = directory({ a: { id: "old" } });
    await of.get("0", "a");
    rows["a"] = { id: "new" };
    const call = async ({ id }: Row) => {
      if (id === "old") throw new SluiceError(code, "gone");
      return await Promise.resolve(`with ${id}`);
    };
    expect(await of.use("0", "a", call)).toBe("with new");
  },
);

test("a call that fails although its row is up to date is not repeated", async () => {
  const { of } = directory({ a: { id: "1" } });
  let calls = 0;
  const call = () => {
    calls += 1;
    throw notFound("a");
  };
  await expect(of.use("0", "a", call)).rejects.toMatchObject({ code: "queue_not_found" });
  expect(calls).toBe(1);
});

test("a call that fails for another reason is not repeated, and its row is kept", async () => {
  const { of, asked } = directory({ a: { id: "1" } });
  const call = () => Promise.reject(new SluiceError("unavailable", "away"));
  await expect(of.use("0", "a", call)).rejects.toMatchObject({ code: "unavailable" });
  await of.get("0", "a");
  expect(asked).toHaveLength(1);
});

/** Has two names whose rows were read 40 s ago read anew, and then lets another 40 s pass. */
async function age(of: Directory<Row>, meanwhile: () => void = () => undefined): Promise<void> {
  vi.useFakeTimers();
  // What is read at zero has no age for the cache.
  vi.advanceTimersByTime(1);
  await Promise.all([of.get("0", "a"), of.get("0", "b")]);
  await vi.advanceTimersByTimeAsync(40_000);
  await Promise.all([of.get("0", "a"), of.get("0", "b")]);
  await vi.advanceTimersByTimeAsync(1_000);
  void of.get("0", "a");
  meanwhile();
  await vi.advanceTimersByTimeAsync(40_000);
}

test("rows in use are read anew by one query before they are out of date", async () => {
  const { of, asked, rows } = directory({ a: { id: "1" }, b: { id: "2" } });
  await age(of, () => {
    rows["b"] = { id: "3" };
  });
  expect([await of.get("0", "a"), await of.get("0", "b")]).toEqual([{ id: "1" }, { id: "2" }]);
  expect(asked).toEqual(["0/a", "0/b", "a,b"]);
});

test("what has changed is so after rows were read anew, and what is gone is refused", async () => {
  const { of, asked, rows } = directory({ a: { id: "old" }, b: { id: "2" } });
  const aged = age(of);
  rows["a"] = { id: "new" };
  delete rows["b"];
  await aged;
  expect(await of.get("0", "a")).toEqual({ id: "new" });
  expect(asked).toEqual(["0/a", "0/b", "a,b"]);
  await expect(of.get("0", "b")).rejects.toMatchObject({ code: "queue_not_found" });
});

test("a name that is forgotten while its row is read anew is looked up", async () => {
  const { of, asked } = directory({ a: { id: "1" }, b: { id: "2" } });
  await age(of, () => {
    of.forget("0", "a");
  });
  await Promise.all([of.get("0", "a"), of.get("0", "b")]);
  expect(asked).toEqual(["0/a", "0/b", "a,b", "0/a"]);
});

test("rows that cannot be read anew run out", async () => {
  const { of, asked, rows } = directory({ a: { id: "1" }, b: { id: "2" } });
  const aged = age(of);
  rows["a"] = new Error("away");
  await aged;
  rows["a"] = { id: "1" };
  expect(await of.get("0", "a")).toEqual({ id: "1" });
  expect(asked).toEqual(["0/a", "0/b", "a,b", "0/a"]);
});

test("rows with many tags are remembered as far as there is room for them", async () => {
  const rows: Record<string, Row & { tags: string }> = {};
  for (let index = 0; index < 1_000; index += 1)
    rows[index] = { id: `${index}`, tags: "x".repeat(100_000) };
  const { of, asked } = directory(rows);
  for (const name of Object.keys(rows)) await of.get("0", name);
  await of.get("0", "999");
  expect(asked).toHaveLength(1_000);
  await of.get("0", "0");
  expect(asked).toHaveLength(1_001);
});
