import { connect } from "node:net";
import { expect, test } from "vitest";
import { startStack } from "./stack.ts";
import { temporaryFolder } from "./temporary-folder.ts";

test("a stack has a Postgres and a NATS, and stops both", { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder();
  const steps: string[] = [];
  const stack = await startStack({
    dataDir: folder.path,
    durable: false,
    progress: {
      step: async (label, work, done) => {
        const value = await work();
        steps.push(done?.(value) ?? label);
        return value;
      },
    },
  });
  expect(await greets(stack.natsUrl)).toBe(true);
  await stack.stop();
  expect(await greets(stack.natsUrl)).toBe(false);
  expect(stack.postgres?.running).toBe(false);
  expect(steps).toEqual([
    expect.stringMatching(/^Postgres 18\.\d+ on 127\.0\.0\.1:\d+, data in /),
    expect.stringMatching(/^NATS 2\.\d+\.\d+ \(.+\) on 127\.0\.0\.1:\d+$/),
    "NATS stopped",
    "Postgres stopped",
  ]);
});

test("what is given is used and not started", { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder();
  await using own = await startStack({ dataDir: folder.path, durable: false });
  await using elsewhere = await temporaryFolder();
  const { databaseUrl, natsUrl } = own;
  await using stack = await startStack({ dataDir: elsewhere.path, databaseUrl, natsUrl });
  expect(stack).toMatchObject({ databaseUrl, natsUrl, postgres: undefined, nats: undefined });
});

test("when one part cannot start the other is stopped again", { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder();
  await using running = await startStack({ dataDir: folder.path, durable: false });
  await expect(startStack({ dataDir: folder.path })).rejects.toMatchObject({
    code: "already_running",
  });
  expect(running.postgres?.running).toBe(true);
  expect(running.nats?.running).toBe(true);
});

/** Whether something takes connections there. */
function greets(url: string | undefined): Promise<boolean> {
  const { hostname, port } = new URL(url ?? "");
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on("connect", () => settle(true));
    socket.on("error", () => settle(false));
  });
}
