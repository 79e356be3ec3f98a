import { describe, expect, test } from "vitest";
import { apiConfig, dispatcherConfig, standaloneConfig } from "./processes.ts";
import { ConfigError, readConfig } from "./read-config.ts";

const complete = {
  DATABASE_URL: "postgres://sluice:hunter2@db:5432/sluice",
  NATS_URL: "nats://nats:4222",
};

const refusal = (env: Record<string, string>): string => {
  try {
    readConfig(apiConfig, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
};

describe("a right environment", () => {
  test("gives typed values and defaults", () => {
    expect(readConfig(apiConfig, complete)).toEqual({
      databaseUrl: complete.DATABASE_URL,
      databasePool: 8,
      traceHours: 12,
      natsServers: ["nats://nats:4222"],
      natsPrefix: "sluice",
      host: "127.0.0.1",
      port: 4566,
      maxConnections: 10_000,
      publicUrl: "http://127.0.0.1:4566",
      signNotifications: true,
      region: "us-east-1",
      auth: "auto",
      secretsKey: undefined,
      account: "000000000000",
      directFanOut: 16,
      deletedQueueNameGuard: 0,
      purgeGuard: 0,
      logLevel: "info",
      logFormat: "json",
      shutdownTimeout: 25,
      shutdownDelay: 0,
    });
  });

  test("may name several NATS servers", () => {
    const { natsServers } = readConfig(dispatcherConfig, {
      ...complete,
      NATS_URL: "nats://one:4222, tls://two:4222",
    });
    expect(natsServers).toEqual(["nats://one:4222", "tls://two:4222"]);
  });

  test("needs no NATS for a single process", () => {
    expect(readConfig(standaloneConfig, { DATABASE_URL: complete.DATABASE_URL }).port).toBe(4566);
  });

  test("takes an empty variable for an unset one", () => {
    expect(readConfig(apiConfig, { ...complete, PORT: "" }).port).toBe(4566);
  });

  test("takes port 0 as any free port", () => {
    expect(readConfig(apiConfig, { ...complete, PORT: "0" }).port).toBe(0);
  });
});

describe("a wrong environment is refused in one line that", () => {
  test("names every variable that is missing and what was expected", () => {
    const message = refusal({});
    expect(message).toContain("DATABASE_URL is not set, expected postgres://");
    expect(message).toContain("NATS_URL is not set, expected nats://");
    expect(message).not.toContain("\n");
  });

  test.each([
    ["PORT", "65536"],
    ["PORT", "0x10"],
    ["PORT", "80 "],
    ["PORT", "-1"],
    ["DATABASE_POOL", "0"],
    ["TRACE_HOURS", "49"],
    ["DATABASE_POOL", "1.5"],
    ["SHUTDOWN_TIMEOUT", "soon"],
    ["LOG_LEVEL", "INFO"],
    ["LOG_FORMAT", "text"],
    ["HOST", "http://here"],
    ["SLUICE_ACCOUNT", "42"],
    ["SLUICE_REGION", "Mars!"],
    ["SLUICE_PUBLIC_URL", "http://here/"],
    ["SLUICE_SIGN_NOTIFICATIONS", "yes"],
  ])("quotes what came for %s=%s", (name, value) => {
    const expected = `${name} is wrong, expected `;
    expect(refusal({ ...complete, [name]: value })).toMatch(
      new RegExp(`^${expected}.*, got ${JSON.stringify(value)}$`),
    );
  });

  test.each([
    ["mysql://sluice:hunter2@db/sluice", "mysql://***"],
    ["postgres:/sluice:hunter2@db/sluice", "characters without a scheme"],
    ["postgres://sluice:hunter2@db:port/sluice", "postgres://***"],
    ["hunter2", "7 characters without a scheme"],
    ["postgres://", "postgres://***"],
    ["postgres://sluice:hunter2@db:5432,/sluice", "postgres://***"],
    ["postgres://sluice:hunter2@a:5432,b:port/sluice", "postgres://***"],
  ])("hides the password of DATABASE_URL=%s", (value, shown) => {
    const message = refusal({ ...complete, DATABASE_URL: value });
    expect(message).toContain(shown);
    expect(message).not.toContain("hunter2");
  });

  test("hides what came as a key, and asks for no scheme there", () => {
    const message = refusal({ ...complete, SECRETS_KEY: "hunter2" });
    expect(message).toMatch(/^SECRETS_KEY is wrong, expected 64 hex digits .*, got 7 characters$/);
  });

  test.each([
    "postgres://sluice:hunter2@a,b/sluice",
    "postgres://sluice:hunter2@a:5432,b:5433/sluice?sslmode=require",
    "postgresql://a:5432,b:5432/sluice",
  ])("takes several hosts: %s", (url) => {
    expect(readConfig(standaloneConfig, { ...complete, DATABASE_URL: url }).databaseUrl).toBe(url);
  });

  test.each([
    ["nats://nats:4222,"],
    ["http://nats:4222"],
    ["nats:4222"],
    ["nats://"],
    ["nats://one:4222 nats://two:4222"],
  ])("tells what NATS_URL=%s should be", (value) => {
    expect(refusal({ ...complete, NATS_URL: value })).toContain("NATS_URL is wrong, expected nats");
  });

  test("cannot be broken into two by a value", () => {
    expect(refusal({ ...complete, HOST: "a\nb\u001b[31m" })).not.toContain("\n");
  });

  test.each([["DATABSE_URL"], ["DATABASE_ULR"], ["DATABASEURL"], ["database_url"]])(
    "guesses that %s is a typo",
    (typo) => {
      const message = refusal({ [typo]: "postgres://db/sluice", NATS_URL: complete.NATS_URL });
      expect(message).toContain(`(${typo} is set: did you mean DATABASE_URL?)`);
    },
  );

  test("guesses a typo of an optional variable inside our prefix, and only there", () => {
    expect(refusal({ ...complete, SLUICE_REGOIN: "eu-west-1" })).toContain(
      "(SLUICE_REGOIN is set: did you mean SLUICE_REGION?)",
    );
    expect(readConfig(apiConfig, { ...complete, LOGLEVEL: "debug", POST: "1" }).port).toBe(4566);
  });
});
