import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { dataFolder, removeFrom } from "../folders.ts";
import { removeNatsData, runningNats } from "../nats/nats.ts";
import { removePostgresHome } from "../postgres/home.ts";
import { runningPostgres } from "../postgres/postgres.ts";
import { StackError } from "../stack-error.ts";
import { shortPath, tellError, type StartContext } from "./console.ts";
import { lockFolder } from "./folder-lock.ts";

/** `npm run reset`: deletes the data of `npm start`, unless something runs on it. */
export async function reset({ env, progress }: StartContext): Promise<number> {
  const dataDir = dataFolder(env);
  try {
    await using _ = await lockFolder(dataDir);
    await refuseWhileRunning(dataDir);
    await removeData(dataDir);
    progress.line(`The data in ${shortPath(dataDir)} is gone; npm start begins anew.`);
    return 0;
  } catch (error) {
    tellError(progress, error);
    return 1;
  }
}

async function refuseWhileRunning(dataDir: string): Promise<void> {
  const running = {
    Postgres: await runningPostgres(dataDir),
    "nats-server": await runningNats(join(dataDir, "nats")),
  };
  for (const [name, pid] of Object.entries(running)) {
    if (!pid) continue;
    throw new StackError("already_running", `${name} (pid ${pid}) runs on ${shortPath(dataDir)}.`, {
      hint: `Stop the Sluice that started it (Ctrl-C there); if it was left behind: kill -INT ${pid}. Then try again.`,
    });
  }
}

const LOGS = ["api", "dispatcher", "standalone", "nats", "postgres"].map((name) => `${name}.log`);

/** Only what a start has made: SLUICE_DATA_DIR may be a folder that holds more than ours, also `logs` of its own. */
async function removeData(dataDir: string): Promise<void> {
  await removePostgresHome(dataDir);
  await removeNatsData(join(dataDir, "nats"));
  await removeFrom(join(dataDir, "logs"), LOGS);
  await rmdir(dataDir).catch(() => {});
}
