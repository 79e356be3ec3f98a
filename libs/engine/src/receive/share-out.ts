import type { AvailableGroup } from "./lock-available.ts";

export interface Share {
  groupId: string;
  /** Most messages to take. */
  messages: number;
}

/**
 * Shares groups out among receives, one after the other: a group goes to one of them, as far as that has room. In this
 * order, and with no more messages than these, they are handed out without a rest.
 */
export function shareOut(groups: readonly AvailableGroup[], maxes: readonly number[]): Share[] {
  const shares: Share[] = [];
  const rooms = [...maxes];
  let room = rooms.shift() ?? 0;
  for (const { groupId, messages } of groups) {
    if (room === 0) room = rooms.shift() ?? 0;
    if (room === 0) return shares;
    const share = Math.min(room, messages);
    shares.push({ groupId, messages: share });
    room -= share;
  }
  return shares;
}
