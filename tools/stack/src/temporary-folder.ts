import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REMOVAL } from "./folders.ts";
import { removePostgresHome } from "./postgres/home.ts";

/** A folder for the data of one test; disposing it deletes it. */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a folder that can serve as `dataDir` of a stack. Stop the stack first: `await using` does so in the right
 * order.
 * @example
 * await using folder = await temporaryFolder();
 * await using stack = await startStack({ dataDir: folder.path });
 */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), "sluice-"));
  // Root's Postgres runs as another user, who has to pass; what lies inside is private on its own.
  await chmod(path, 0o711);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await removePostgresHome(path);
      await rm(path, REMOVAL);
    },
  };
}
