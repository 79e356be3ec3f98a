import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder for the histories of a run. Disposing it deletes it, unless somebody wants to read them. */
export interface HistoryFolder extends AsyncDisposable {
  readonly path: string;
  readonly kept: boolean;
  keep(): void;
}

/** @param wanted where to keep the histories whatever comes of the run; not said, they are in a folder of their own */
export async function historyFolder(wanted: string | undefined): Promise<HistoryFolder> {
  const path = wanted ?? (await mkdtemp(join(tmpdir(), "sluice-histories-")));
  await mkdir(path, { recursive: true });
  let kept = wanted !== undefined;
  return {
    path,
    get kept() {
      return kept;
    },
    keep: () => void (kept = true),
    [Symbol.asyncDispose]: async () => {
      if (!kept) await rm(path, { recursive: true, force: true });
    },
  };
}
