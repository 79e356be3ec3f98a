import { execFile } from "node:child_process";
import { mkdir, open, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Sparse: it takes what is written to it. */
const BYTES = 1024 ** 3;
/** How long those who had files open may take to die, in ms. */
const DEATH_MS = 15_000;

/** There is no disk to be had; the message says why. */
export class NoDisk extends Error {
  override readonly name = "NoDisk";
}

/**
 * A disk of its own, which may lose its power, be full or stand still: an ext4 in a file, mounted as a loop device. It
 * takes Linux, root and the programs of the packages mount, util-linux and e2fsprogs.
 *
 * A power cut is `mount -o remount,abort`: from that instant ext4 writes nothing more, neither data nor journal, and
 * says so to whoever flushes. What had been flushed is there after the next mount, and of the rest some, as after a
 * real one. What it does not imitate: sectors that are torn in their middle, and drives that say they have flushed what
 * they have not.
 */
export class Disk implements AsyncDisposable {
  /** Where it is mounted; everybody may enter. */
  readonly path: string;
  readonly #image: string;

  private constructor(folder: string) {
    this.path = join(folder, "disk");
    this.#image = join(folder, "disk.ext4");
  }

  /** @throws {NoDisk} where none can be had */
  static async create(folder: string): Promise<Disk> {
    const disk = new Disk(folder);
    if (process.platform !== "linux" || process.getuid?.() !== 0)
      throw new NoDisk("a disk that can lose its power takes Linux and root");
    try {
      await mkdir(disk.path, { recursive: true });
      await writeFile(disk.#image, "");
      await truncate(disk.#image, BYTES);
      await execute("mkfs.ext4", ["-q", "-m", "0", disk.#image]);
      await disk.#mount();
    } catch (error) {
      throw new NoDisk(`a disk that can lose its power could not be made: ${said(error)}`);
    }
    return disk;
  }

  /** Why none can be had; undefined when one can. */
  static async whyNot(folder: string): Promise<string | undefined> {
    try {
      await using _ = await Disk.create(folder);
      return undefined;
    } catch (error) {
      if (error instanceof NoDisk) return error.message;
      throw error;
    }
  }

  /** Whoever has files open there has to die before it comes back. */
  async losePower(): Promise<void> {
    await execute("mount", ["-o", "remount,abort", this.path]);
  }

  /** After a loss of power. */
  async comeBack(): Promise<void> {
    await this.#unmount();
    // It mends nothing that the journal does not, but for the note that something went wrong.
    await execute("e2fsck", ["-p", this.#image]).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== 1) throw error;
    });
    await this.#mount();
    // That it had been emptied may be lost as well.
    await this.empty();
  }

  /** Takes all the room that is left. */
  async fill(): Promise<void> {
    const { bavail, bsize } = await statfs(this.path);
    await execute("fallocate", ["-l", String(bavail * bsize), this.#filler]).catch(() => undefined);
    // The last blocks: what describes them takes some as well.
    const file = await open(this.#filler, "a");
    const block = Buffer.alloc(4_096);
    try {
      for (;;) await file.write(block);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      await file.close();
    }
  }

  async empty(): Promise<void> {
    await rm(this.#filler, { force: true });
  }

  /** Whoever writes waits. */
  async standStill(): Promise<void> {
    await execute("fsfreeze", ["--freeze", this.path]);
  }

  async goOn(): Promise<void> {
    await execute("fsfreeze", ["--unfreeze", this.path]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unmount();
    await rm(this.#image);
  }

  get #filler(): string {
    return join(this.path, "filler");
  }

  async #mount(): Promise<void> {
    await execute("mount", ["-o", "loop", this.#image, this.path]);
  }

  async #unmount(): Promise<void> {
    const began = performance.now();
    for (;;) {
      try {
        await execute("umount", [this.path]);
        return;
      } catch (error) {
        if (performance.now() - began > DEATH_MS) throw error;
        await sleep(20);
      }
    }
  }
}

function said(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  return (stderr?.trim() ?? "") || message;
}
