import { describe, expect, test } from "vitest";
import { createLogger, type LoggerOptions } from "./logger.ts";

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push(line) };
  return { lines, logger: createLogger({ name: "api", stream, ...options }) };
}

test("a line is one JSON object with its level, time, name and event", () => {
  const { lines, logger } = capture();
  logger.info({ event: "api.listening", url: "http://127.0.0.1:4566" }, "The API listens");
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    level: "info",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    name: "api",
    event: "api.listening",
    url: "http://127.0.0.1:4566",
    message: "The API listens",
  });
});

test("lines below the level are not written", () => {
  const { lines, logger } = capture({ level: "warn" });
  logger.info({ event: "api.listening" });
  logger.warn({ event: "api.slow" });
  expect(lines).toHaveLength(1);
});

test("a child adds its fields", () => {
  const { lines, logger } = capture();
  logger.child({ queue: "orders" }).info({ event: "queue.purged" });
  expect(lines[0]).toContain('"queue":"orders"');
});

describe.each(["json", "pretty"] as const)("in the %s format", (format) => {
  test.each(["\u0000", "\u001b[2J", "\u009b2J", "\u007f", "\r", "\n", "\u2028"])(
    "the control character of %j never reaches the terminal",
    (text) => {
      const { lines, logger } = capture({ format });
      logger.warn({ event: `a${text}`, name: text, [text]: text }, `message ${text}`);
      logger.error({
        event: "b",
        err: Object.assign(new Error(text), { stack: `Error: ${text}` }),
      });
      for (const line of lines) {
        // oxlint-disable-next-line no-control-regex
        expect(line.replaceAll("\n", "")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028]/);
        expect(line.endsWith("\n")).toBe(true);
      }
    },
  );

  test("passwords, keys and credentials are hidden at any depth", () => {
    const { lines, logger } = capture({ format });
    logger.info(
      {
        event: "request.refused",
        headers: { authorization: "Bearer hunter2", "x-api-key": "hunter2" },
        dbPassword: 'hunter2"hunter2',
        url: "postgres://sluice:hunter2@db/sluice",
        err: new Error("connect to nats://me:hunter2@nats:4222 failed"),
      },
      "with postgres://sluice:hunter2@db/sluice",
    );
    expect(lines.join("")).not.toContain("hunter2");
    expect(lines.join("")).toContain("postgres://sluice:[redacted]@db/sluice");
  });

  test("an error is told with its code and causes, and without what else it carries", () => {
    const { lines, logger } = capture({ format });
    const cause = Object.assign(new Error("no route"), { code: "EHOSTUNREACH" });
    const err = Object.assign(new Error("cannot connect", { cause }), { parameters: ["a body"] });
    logger.error({ event: "database.failed", err });
    expect(lines.join("")).toContain("cannot connect");
    expect(lines.join("")).toContain("no route");
    expect(lines.join("")).not.toContain("a body");
  });

  test("a query that failed is told without what it was called with", () => {
    const { lines, logger } = capture({ format });
    const params = ["a $& body\n    at my.secret (place)"];
    const query = new Error(`Failed query: select $1\nparams: ${params.join()}`);
    const err = new Error("cannot tell", { cause: Object.assign(query, { params }) });
    logger.error({ event: "request.failed", err });
    logger.error({ event: "request.failed", err: err.cause });
    expect(lines).toHaveLength(2);
    expect(lines.join("")).toContain("Failed query: select $1");
    expect(lines.join("")).toContain("logger.test.ts");
    expect(lines.join("")).not.toMatch(/body|secret/);
  });

  test("a long field is cut", () => {
    const { lines, logger } = capture({ format });
    logger.info({ event: "request.refused", path: "x".repeat(100_000) });
    expect(lines.join("").length).toBeLessThan(5_000);
    expect(lines.join("")).toContain("(100000 characters)");
  });
});

test("an error whose causes form a ring is still written", () => {
  const { lines, logger } = capture();
  const err = new Error("round");
  err.cause = err;
  logger.error({ event: "ring", err });
  expect(lines).toHaveLength(1);
});

test("the pretty format puts a line together for people", () => {
  const { lines, logger } = capture({ format: "pretty" });
  logger.info({ event: "api.listening", url: "http://127.0.0.1:4566", open: 2 }, "The API listens");
  expect(lines[0]).toMatch(
    /^[\d:.]{12} {2}INFO {3}api {2}The API listens {2}api\.listening {2}url=http:\/\/127\.0\.0\.1:4566 {2}open=2\n$/,
  );
});
