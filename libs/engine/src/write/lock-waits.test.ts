import type { Sql } from "@sluice/database";
import { expect, test } from "vitest";

import { LockWaits, SOON } from "./lock-waits.ts";

const lockNotAvailable = () => Object.assign(new Error("lock timeout"), { code: "55P03" });

/** Of a pool of four connections, two of which wait for locks at most. */
function waitsOfTwo() {
  const held: (() => void)[] = [];
  const timeouts: (string | undefined)[] = [];
  /** Meets a lock: gives it up soon, else waits until it is let go. */
  const statement = async (lockTimeout?: string) => {
    timeouts.push(lockTimeout);
    if (lockTimeout !== undefined) throw lockNotAvailable();
    await new Promise<void>((letGo) => held.push(letGo));
    return "done";
  };
  return { waits: new LockWaits({ options: { max: 4 } } as Sql), statement, timeouts, held };
}

test("what meets a lock waits for it in a place, and where none is free for that first", async () => {
  const { waits, statement, timeouts, held } = waitsOfTwo();
  const results = [1, 2, 3].map(() => waits.run(statement));
  await expect.poll(() => held.length).toBe(2);
  expect(timeouts).toEqual([SOON, SOON, SOON, undefined, undefined]);
  held[0]?.();
  await expect.poll(() => held.length).toBe(3);
  for (const letGo of held) letGo();
  expect(await Promise.all(results)).toEqual(["done", "done", "done"]);
});

test("what waits briefly takes a free place, and hardly waits where there is none", async () => {
  const { waits, statement, held } = waitsOfTwo();
  const timeouts: string[] = [];
  const brief = async (lockTimeout: string) => {
    timeouts.push(lockTimeout);
    await Promise.resolve();
    throw lockNotAvailable();
  };
  const waitBriefly = () => waits.briefly(brief).catch(() => "held");
  expect(await waitBriefly()).toBe("held");
  const results = [1, 2].map(() => waits.run(statement));
  await expect.poll(() => held.length).toBe(2);
  expect(await waitBriefly()).toBe("held");
  for (const letGo of held) letGo();
  await Promise.all(results);
  expect(await waitBriefly()).toBe("held");
  expect(timeouts).toEqual(["100ms", "1ms", "100ms"]);
});
