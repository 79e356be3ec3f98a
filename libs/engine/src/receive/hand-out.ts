import { bitCount, lowestBits } from "../message/bits.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import { byGroup } from "./fifo-slice.ts";

/** Takes up to `max` messages off the stock; the slice that does not fit whole is shared with the next taker. */
export function takeMessages(stock: ClaimedSlice[], max: number): ClaimedSlice[] {
  const taken: ClaimedSlice[] = [];
  let room = max;
  while (room > 0) {
    const slice = stock[0];
    if (!slice) break;
    const messages = bitCount(slice.mask);
    if (messages <= room) {
      taken.push(slice);
      stock.shift();
      room -= messages;
      continue;
    }
    const mask = lowestBits(slice.mask, room);
    taken.push({ ...slice, mask });
    stock[0] = { ...slice, mask: slice.mask & ~mask };
    room = 0;
  }
  return taken;
}

/** Takes the messages of whole groups off the stock, up to `max`: a group is in one hand at a time. */
export function takeGroups(stock: ClaimedSlice[], max: number): ClaimedSlice[] {
  const taken: ClaimedSlice[] = [];
  const left: ClaimedSlice[] = [];
  let room = max;
  for (const slices of byGroup(stock)) {
    const messages = messagesIn(slices);
    if (messages > room) {
      left.push(...slices);
      continue;
    }
    taken.push(...slices);
    room -= messages;
  }
  stock.splice(0, stock.length, ...left);
  return taken;
}

/** How many messages slices hold together. */
export function messagesIn(slices: readonly ClaimedSlice[]): number {
  return slices.reduce((sum, slice) => sum + bitCount(slice.mask), 0);
}
