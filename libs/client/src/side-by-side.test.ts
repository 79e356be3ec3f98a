import { expect, test } from "vitest";
import { sideBySide } from "./side-by-side.ts";

const range = (length: number) => Array.from({ length }, (_, index) => index);

/** Takes a moment, and notes how many do so at once. */
function slow() {
  const counted = { underWay: 0, most: 0, begun: 0 };
  const act = async (item: number) => {
    counted.begun += 1;
    counted.most = Math.max(counted.most, ++counted.underWay);
    await new Promise<void>((resolve) => setTimeout(resolve, 1));
    counted.underWay -= 1;
    return item * 2;
  };
  return { act, counted };
}

test("what takes its time is done for a hundred items at once, in their order", async () => {
  const { act, counted } = slow();
  expect(await sideBySide(range(250), act)).toEqual(range(250).map((item) => item * 2));
  expect(counted).toEqual({ underWay: 0, most: 100, begun: 250 });
});

test("items that take no time and such that do, and holes, each have their place", async () => {
  const items: (number | undefined)[] = [1, 2];
  items[3] = 4;
  const act = (item: number | undefined, index: number) =>
    index % 2 === 0 ? `${item}@${index}` : Promise.resolve(`${item}@${index}`);
  expect(await sideBySide(items, act)).toEqual(["1@0", "2@1", "undefined@2", "4@3"]);
});

test("nothing more begins when it is enough", async () => {
  const { act, counted } = slow();
  const results = await sideBySide(range(250), act, () => counted.begun > 0);
  expect(results).toHaveLength(100);
  expect(counted.begun).toBe(100);
});

test("the first error in the order of items is told, and nothing begins after its hundred", async () => {
  const { act, counted } = slow();
  const failing = async (item: number) => {
    await act(item);
    if (item === 7) throw new Error("the seventh");
    return item;
  };
  await expect(sideBySide(range(250), failing)).rejects.toThrow("the seventh");
  expect(counted.begun).toBe(100);
});

test("an error that is thrown at once is told when none before it is, and nothing begins after it", async () => {
  const begun: number[] = [];
  const failing = (slow: readonly number[], wrong: readonly number[]) => (item: number) => {
    begun.push(item);
    const told = `the ${item}`;
    if (slow.includes(item))
      return Promise.resolve().then(() => {
        if (wrong.includes(item)) throw new Error(told);
      });
    if (wrong.includes(item)) throw new Error(told);
    return undefined;
  };
  await expect(sideBySide(range(9), failing([1, 3], [3, 5]))).rejects.toThrow("the 3");
  await expect(sideBySide(range(9), failing([1, 3], [5]))).rejects.toThrow("the 5");
  await expect(sideBySide(range(9), failing([], [5]))).rejects.toThrow("the 5");
  expect(begun).toEqual([...range(6), ...range(6), ...range(6)]);
});
