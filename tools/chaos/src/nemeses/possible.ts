import { Disk, NoDisk } from "../system/disk.ts";
import { diskStrikes } from "./disk.ts";

export interface Possible {
  names: readonly string[];
  /** What cannot be done here, and why. */
  leftOut: string[];
  /** Of Postgres, where one of the names needs it. */
  disk: Disk | undefined;
}

/**
 * Of these nemeses those that can be done here.
 *
 * @param durable - Whether Postgres flushes to disk.
 * @throws {NoDisk} when there is none of them
 */
export async function possibleNemeses(
  names: readonly string[],
  { durable, folder }: { durable: boolean; folder: string },
): Promise<Possible> {
  const leftOut: string[] = [];
  const leaveOut = (out: readonly string[], why: string) => {
    if (out.length > 0) leftOut.push(`${out.join(", ")} (${why})`);
    left = left.filter((name) => !out.includes(name));
    if (left.length === 0 && names.length > 0) throw new NoDisk(leftOut.join("; "));
  };
  let left = names;
  if (!durable && names.includes("cut-power"))
    leaveOut(["cut-power"], "with --no-fsync nothing would be there after it");
  const ofDisk = left.filter((name) => name in diskStrikes);
  if (ofDisk.length === 0) return { names: left, leftOut, disk: undefined };
  try {
    return { names: left, leftOut, disk: await Disk.create(folder) };
  } catch (error) {
    if (!(error instanceof NoDisk)) throw error;
    leaveOut(ofDisk, error.message);
    return { names: left, leftOut, disk: undefined };
  }
}
