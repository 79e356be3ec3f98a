import { dataFolder } from "../folders.ts";
import { checkSettings } from "../process/apps.ts";
import { describeExit, type Child } from "../process/child.ts";
import { Cleanup } from "../process/cleanup.ts";
import { startStack } from "../stack.ts";
import { StackError } from "../stack-error.ts";
import { shortPath, tellError, type StartContext } from "./console.ts";
import { lockFolder } from "./folder-lock.ts";
import { fired, interruption } from "./interruption.ts";
import { Logs } from "./logs.ts";
import { choosePorts } from "./ports.ts";
import { startServices } from "./services.ts";
import { welcome } from "./welcome.ts";

/**
 * `npm start`: brings up Postgres, NATS, API and dispatcher, and stays until it is interrupted (0) or one of them ends
 * by itself (1). What it started it stops: API, dispatcher, NATS, Postgres, in this order.
 */
export async function start(context: StartContext): Promise<number> {
  const { progress } = context;
  const interrupted = interruption(progress);
  const cleanup = new Cleanup();
  try {
    const children = await bringUp(context, cleanup, interrupted);
    const ended = await Promise.race([fired(interrupted), ...children.map(endOf)]);
    if (!ended) return 0;
    throw ended;
  } catch (error) {
    if (interrupted.aborted) return 0;
    tellError(progress, error);
    return 1;
  } finally {
    await cleanup.run();
  }
}

/** Starts everything and says so; gives all processes that have to stay alive. */
async function bringUp(
  context: StartContext,
  cleanup: Cleanup,
  signal: AbortSignal,
): Promise<Child[]> {
  const { env, progress, startedAt } = context;
  const dataDir = dataFolder(env);
  cleanup.use(await lockFolder(dataDir));
  const ports = await choosePorts(context);
  await checkSettings(env);
  const logs = cleanup.use(await Logs.open(dataDir, progress));
  const stack = cleanup.use(
    await startStack({
      dataDir,
      databaseUrl: env["DATABASE_URL"],
      natsUrl: env["NATS_URL"],
      progress,
      onLine: (server, line) => logs.write(server, line),
      signal,
    }),
  );
  const services = await startServices({ context, ports, stack, logs, cleanup, signal });
  const url = services[0]?.url ?? "";
  progress.line(
    welcome({
      url,
      seconds: (Date.now() - startedAt) / 1000,
      data: stack.postgres
        ? `${shortPath(dataDir)} (${howToReset(env)})`
        : "in the database of DATABASE_URL",
      logs: shortPath(logs.folder),
      needsKey: await needsKey(url),
      postgres: stack.postgres && {
        port: stack.postgres.port,
        folder: shortPath(stack.postgres.folder),
      },
    }),
  );
  return [...services, stack.nats, stack.postgres].filter((child) => child !== undefined);
}

/** A reset without the folder that this start was given would delete the data of another one. */
function howToReset(env: NodeJS.ProcessEnv): string {
  const same = env["SLUICE_DATA_DIR"] ? " with the same SLUICE_DATA_DIR" : "";
  return `npm run reset${same} clears it`;
}

async function needsKey(url: string): Promise<boolean> {
  const { status } = await fetch(`${url}/v1/topics?limit=1`);
  return status === 401;
}

/** What to say when a process ends that nobody has told to. */
async function endOf(child: Child): Promise<StackError> {
  const exit = await child.exited;
  const output = child.tail().slice(-20);
  return new StackError("child_failed", `${child.name} ended by itself (${describeExit(exit)}).`, {
    output,
  });
}
