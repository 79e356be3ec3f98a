import { numbers, texts } from "@sluice/database";

import type { NewBatch } from "./batch-writer.ts";

/** Messages of a batch that become one slice in a queue, as a set of bits. */
export interface Part {
  delay: number;
  /** "" for none. */
  groupId: string;
  pending: bigint;
}

/** Which messages of a batch share delay and group. */
export function partsOf({ delays, groupIds }: Pick<NewBatch, "delays" | "groupIds">): Part[] {
  const parts = new Map<string, Part>();
  let part: Part | undefined;
  delays.forEach((delay, bit) => {
    const groupId = groupIds[bit] ?? "";
    // Nearly always they are all of one kind.
    if (part?.delay !== delay || part.groupId !== groupId) {
      const key = `${delay}/${groupId}`;
      part = parts.get(key) ?? { delay, groupId, pending: 0n };
      parts.set(key, part);
    }
    part.pending |= 1n << BigInt(bit);
  });
  return [...parts.values()];
}

/**
 * The groups of a batch and their messages as two array literals of equal length; "" twice where no message has a
 * group.
 */
export function groupArrays(batch: NewBatch): { groupIds: string; groupMasks: string } {
  if (batch.groupIds.every((groupId) => groupId === "")) return { groupIds: "", groupMasks: "" };
  const parts = partsOf(batch);
  return {
    groupIds: `{${parts.map(({ groupId }) => (groupId === "" ? "NULL" : texts([groupId]).slice(1, -1))).join()}}`,
    groupMasks: numbers(parts.map(({ pending }) => pending)),
  };
}

/** How many slices a batch is in each queue of its topic. */
export function groupsIn({ groupIds }: Pick<NewBatch, "groupIds">): number {
  return groupIds.every((groupId) => groupId === "") ? 1 : new Set(groupIds).size;
}
