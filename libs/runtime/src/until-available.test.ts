import { describe, expect, test } from "vitest";
import { createLogger } from "./log/logger.ts";
import { untilAvailable } from "./until-available.ts";

function capture() {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { lines, logger: createLogger({ name: "api", stream: { write } }) };
}

/** Fails this many times, then succeeds. */
function failing(times: number): () => Promise<string> {
  let failures = 0;
  return async () => {
    if (failures++ < times) throw new Error("connection refused");
    return "connected";
  };
}

describe("waiting for something that is away", () => {
  test("tells what a failure comes from", async () => {
    const { lines, logger } = capture();
    let attempts = 0;
    const attempt = async () => {
      attempts += 1;
      if (attempts === 1)
        throw new Error("Failed query", { cause: new Error("permission denied for database") });
      return attempts;
    };
    await untilAvailable("Postgres", attempt, { logger, initialMs: 1, maxMs: 2 });
    expect(lines[0]).toMatchObject({ reason: "permission denied for database" });
  });

  test("says what is to be done where waiting alone does not help", async () => {
    const { lines, logger } = capture();
    let attempts = 0;
    const attempt = async () => {
      attempts += 1;
      if (attempts === 1) throw new Error("Failed query", { cause: new Error("no such database") });
      return attempts;
    };
    const remedyOf = (error: unknown) =>
      (error as Error).message === "no such database" ? "create it" : undefined;
    await untilAvailable("Postgres", attempt, { logger, remedyOf, initialMs: 1 });
    expect(lines[0]).toMatchObject({
      level: "error",
      event: "dependency.awaited",
      message: "waiting for Postgres, which refuses: create it",
    });
  });

  test("ends with what the attempt gives", async () => {
    const { lines, logger } = capture();
    const options = { logger, initialMs: 1, maxMs: 2 };
    expect(await untilAvailable("Postgres", failing(5), options)).toBe("connected");
    expect(lines.map((line) => line["event"])).toEqual([
      "dependency.awaited",
      "dependency.available",
    ]);
    expect(lines[0]).toMatchObject({ what: "Postgres", reason: "connection refused", attempt: 1 });
  });

  test("says nothing when it is there", async () => {
    const { lines, logger } = capture();
    await untilAvailable("Postgres", failing(0), { logger });
    expect(lines).toEqual([]);
  });

  test("ends when it is told to stop", async () => {
    const { logger } = capture();
    const stopping = new AbortController();
    const attempt = async () => {
      stopping.abort(new Error("stopped by SIGTERM"));
      throw new Error("connection refused");
    };
    const waiting = untilAvailable("NATS", attempt, { logger, signal: stopping.signal });
    await expect(waiting).rejects.toThrow("stopped by SIGTERM");
  });

  test("ends with an error that waiting cannot mend", async () => {
    const { logger } = capture();
    const waiting = untilAvailable("Postgres", failing(9), { logger, isFinal: () => true });
    await expect(waiting).rejects.toThrow("connection refused");
  });
});
