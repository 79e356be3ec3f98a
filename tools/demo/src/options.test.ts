import { expect, test } from "vitest";
import { readOptions, UsageError } from "./options.ts";

test("without options two APIs and two dispatchers are started", () => {
  expect(readOptions([], {})).toMatchObject({
    rounds: 1,
    rate: 100,
    apis: 2,
    dispatchers: 2,
    url: undefined,
    killDispatcher: false,
    killNats: false,
  });
});

test("an address is taken from the command line, else from SLUICE_URL", () => {
  const env = { SLUICE_URL: "http://env:1" };
  expect(readOptions([], env).url).toBe("http://env:1");
  expect(readOptions(["--url", "http://line:2"], env).url).toBe("http://line:2");
});

test("what needs a Sluice of the demo's own outweighs SLUICE_URL and contradicts --url", () => {
  expect(readOptions(["--kill-nats"], { SLUICE_URL: "http://env:1" }).url).toBeUndefined();
  expect(() => readOptions(["--kill-nats", "--url", "http://line:2"], {})).toThrow(UsageError);
});

test.each([
  [["--rounds", "0"], '--rounds expects a whole number from 1 to 1000, got "0"'],
  [["--rate", "1e3"], '--rate expects a whole number from 0 to 100000, got "1e3"'],
  [["--url", "localhost:4566"], '--url expects http://host:port, got "localhost:4566"'],
  [["--round", "2"], "Unknown option '--round'"],
  [["twice"], "Unexpected argument 'twice'"],
])("%j is refused", (args, message) => {
  expect(() => readOptions(args, {})).toThrow(message);
});
