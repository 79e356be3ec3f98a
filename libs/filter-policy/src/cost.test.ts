import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { describe, expect, test } from "vitest";

import { compile } from "./compile.ts";
import { FilteredMessage } from "./filtered-message.ts";

// Bounds are ten times what these take, and a tenth of what they would take if the work multiplied.

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** In milliseconds of this process, which the rest of the machine cannot stretch. */
function cpuOf(act: () => void): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function keys(count: number, keyOf: (index: number) => string, value: unknown) {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [keyOf(index), value]));
}

/** Keys in an alternative are not counted. */
function oneOf(alternative: object): object {
  return { $or: [alternative, { other: ["x"] }] };
}

test("what a policy of long keys holds is a small multiple of its length", () => {
  const policy = oneOf(keys(1_660, (index) => `k${index}${".a".repeat(63)}`, [1]));
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const filter = compile(policy, "MessageBody");
  collectGarbage();
  const held = process.memoryUsage().heapUsed - before;
  expect(held).toBeLessThan(80 * JSON.stringify(policy).length);
  expect(filter.accepts(message(keys(1_660, (index) => `k${index}${".a".repeat(63)}`, 1)))).toBe(
    true,
  );
});

test("keys that begin with the same long name hold it once", () => {
  const alternatives = Array.from({ length: 75 }, (_, index) => ({ [`k${index}`]: [1] }));
  const policy = { ["x".repeat(200_000)]: { $or: alternatives } };
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const filter = compile(policy, "MessageBody");
  collectGarbage();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(2_000_000);
  expect(filter.accepts(message({ ["x".repeat(200_000)]: { k74: 1 } }))).toBe(true);
});

test("a policy of long keys is compiled in milliseconds", () => {
  const policy = oneOf(keys(1_660, (index) => `k${index}${".a".repeat(63)}`, [1]));
  expect(cpuOf(() => compile(policy, "MessageBody"))).toBeLessThan(500);
});

describe("a long body is gone through once", () => {
  test("for all keys of a policy together", () => {
    const policy = oneOf(keys(8_000, (index) => `list.k${index}`, [1]));
    const list = [
      keys(8_000, (index) => `k${index}`, 1),
      ...Array.from({ length: 40_000 }, (_, index) => ({ a: index })),
    ];
    expectQuick(policy, { list }, true);
  });

  test("for all values of a list in anything-but", () => {
    const values = Array.from({ length: 30_000 }, (_, index) => index);
    expectQuick({ key: [{ "anything-but": values }] }, { key: values }, false);
  });

  test.each(["prefix", "suffix", "equals-ignore-case"])(
    "for all texts of a list in anything-but: %s",
    (operator) => {
      const texts = Array.from({ length: 15_000 }, (_, index) => `-${index}-`);
      const values = Array.from({ length: 50_000 }, (_, index) => `-${index % 15_000}-`);
      expectQuick({ key: [{ "anything-but": { [operator]: texts } }] }, { key: values }, false);
    },
  );

  test("by each block of addresses, but read once for all", () => {
    const blocks = Array.from({ length: 150 }, (_, index) => ({ cidr: `10.0.${index}.0/24` }));
    const addresses = Array.from({ length: 60_000 }, (_, index) => `11.1.${index % 250}.1`);
    expectQuick({ key: blocks }, { key: addresses }, false);
  });

  function expectQuick(policy: object, body: object, expected: boolean) {
    const filter = compile(policy, "MessageBody");
    const read = message(body);
    let accepted: boolean | undefined;
    expect(cpuOf(() => (accepted = filter.accepts(read)))).toBeLessThan(1_000);
    expect(accepted).toBe(expected);
  }
});

describe("in steps, no more than one wildcard goes through a long text at a time", () => {
  const patterns = Array.from({ length: 150 }, (_, index) => `*b${index}*`);

  test.each([
    ["in a list", patterns.map((wildcard) => ({ wildcard })), false],
    ["inside anything-but", [{ "anything-but": { wildcard: patterns } }], true],
  ])("%s", (_, rules, expected) => {
    const filter = compile({ key: rules }, "MessageBody");
    const steps = filter.acceptsInSteps(message({ key: "a".repeat(20_000) }));
    let long = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) if (step.value === 20_000) long += 1;
    expect(long).toBeGreaterThanOrEqual(patterns.length);
    expect(step.value).toBe(expected);
  });
});

/** Its body parsed. */
function message(body: object): FilteredMessage {
  const read = new FilteredMessage({ body: JSON.stringify(body), attributes: {} });
  expect(read.body).toEqual(expect.any(Object));
  return read;
}
