import { expect, test, vi } from "vitest";
import { SluiceError } from "./errors.ts";
import { isSluiceError, messageOf, sayingOf, shown, tellConsole } from "./given.ts";

const fail = () => {
  throw new TypeError("not to be looked at");
};
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const unreadable: [string, () => unknown][] = [
  [
    "an error whose message throws",
    () => Object.defineProperty(new Error(), "message", { get: fail }),
  ],
  [
    "a Proxy whose traps throw",
    () => new Proxy({}, { get: fail, getPrototypeOf: fail, has: fail }),
  ],
  ["a Proxy that was revoked", revoked],
  ["an object without a prototype", () => Object.create(null) as object],
  ["an object whose text throws", () => ({ toString: fail })],
  ["a message that is no text", () => ({ message: Symbol("m") })],
];

test.each(unreadable)("%s says nothing, and is no SluiceError", (_, made) => {
  expect(messageOf(made())).toBeUndefined();
  expect(isSluiceError(made())).toBe(false);
});

test.each(unreadable)("%s does not keep the console from its line", (_, made) => {
  const lines: string[] = [];
  const written = vi.spyOn(console, "error").mockImplementation((line: string, ...rest) => {
    // As a console may that looks at everything.
    if (rest.length > 0) lines.push(`${line} ${(rest[0] as Error).message.trim()}`);
    else lines.push(line);
  });
  tellConsole("the handler failed", made());
  written.mockRestore();
  expect(lines).toEqual([expect.stringMatching(/^the handler failed: /)]);
});

test("a console that throws whatever it is told does no harm", () => {
  const written = vi.spyOn(console, "error").mockImplementation(fail);
  tellConsole("the handler failed", new Error("no luck"));
  written.mockRestore();
});

test.each([
  [new Error("no luck"), "no luck", "no luck"],
  [new RangeError(), undefined, "RangeError"],
  [{ message: "of another realm" }, "of another realm", "of another realm"],
  ["text", "text", "text"],
  ["", undefined, undefined],
  [42, "42", "42"],
  [Symbol("s"), "Symbol(s)", "Symbol(s)"],
  [undefined, undefined, undefined],
  [null, undefined, undefined],
])("%o says %s", (thrown, message, saying) => {
  expect(messageOf(thrown)).toBe(message);
  expect(sayingOf(thrown)).toBe(saying);
});

test("a SluiceError is one", () => {
  expect(isSluiceError(new SluiceError("timeout", "x"))).toBe(true);
});

test("a value is shown as JSON, shortened, or by its type", () => {
  const circular: unknown[] = [];
  circular.push(circular);
  expect([{ a: 1 }, "x".repeat(200), NaN, 1n, undefined, circular].map(shown)).toEqual([
    '{"a":1}',
    `"${"x".repeat(99)}…`,
    "NaN",
    "bigint",
    "undefined",
    "object",
  ]);
});
