import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Puts a file in its place, whole or not at all and there to stay, also when the machine loses its power in the next
 * moment.
 */
export async function writeDurably(
  file: string,
  text: string,
  { mode, owner }: { mode: number; owner: { uid: number; gid: number } | undefined },
): Promise<void> {
  const partial = `${file}.new`;
  const handle = await open(partial, "w", mode);
  try {
    await handle.writeFile(text);
    if (owner) await handle.chown(owner.uid, owner.gid);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await renameDurably(partial, file);
}

/** Renames what is flushed already, so that it has its new name also after a loss of power. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  // Windows has no such thing for folders.
  if (process.platform === "win32") return;
  const folder = await open(dirname(to));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
