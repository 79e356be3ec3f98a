import { Cleanup, temporaryFolder } from "@sluice/stack";

import type { RunningSystem } from "./system.ts";

/** Starts a system in parts, with a folder for its data; when one part fails, those before it are stopped. */
export async function assemble(
  build: (
    cleanup: Cleanup,
    folder: string,
  ) => Promise<Omit<RunningSystem, typeof Symbol.asyncDispose>>,
): Promise<RunningSystem> {
  const cleanup = new Cleanup();
  try {
    const folder = cleanup.use(await temporaryFolder());
    const parts = await build(cleanup, folder.path);
    return { ...parts, [Symbol.asyncDispose]: async () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}
