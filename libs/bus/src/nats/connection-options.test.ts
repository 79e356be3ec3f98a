import { expect, test } from "vitest";
import { connectionOptions } from "./connection-options.ts";

test.each([
  ["nats://nats:4223", { servers: ["nats:4223"] }],
  ["nats://nats", { servers: ["nats"] }],
  ["nats://[::1]:4222", { servers: ["[::1]:4222"] }],
  ["tls://nats:4222", { servers: ["nats:4222"], tls: {} }],
  ["nats://me:p%40ss@nats:4222", { servers: ["nats:4222"], user: "me", pass: "p@ss" }],
  ["nats://s3cret@nats:4222", { servers: ["nats:4222"], token: "s3cret" }],
])("%s is understood", (url, expected) => {
  expect(connectionOptions([url], "api")).toMatchObject(expected);
});

test("nothing but what the URL says is sent as a login", () => {
  const options = connectionOptions(["nats://one:4222", "nats://two:4222"], "api");
  expect(options).not.toHaveProperty("user");
  expect(options).not.toHaveProperty("token");
  expect(options).not.toHaveProperty("tls");
});

test("a reconnect is tried for ever, after 0.1 to 2 seconds", () => {
  const { maxReconnectAttempts, reconnectDelayHandler = () => NaN } = connectionOptions([], "api");
  expect(maxReconnectAttempts).toBe(-1);
  const delays = Array.from({ length: 100 }, reconnectDelayHandler);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(100);
  expect(Math.max(...delays)).toBeLessThanOrEqual(2_000);
});
