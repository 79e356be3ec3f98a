import { figureOf } from "../report/statistics.ts";
import type { Kept } from "./collect.ts";

/** What a process kept after so many seconds. */
export interface Look extends Kept {
  at: number;
}

export interface Growth {
  /** Bytes in use, in the middle of the first looks that count, and of the last. */
  first: number;
  last: number;
  /** Bytes an hour. */
  hourly: number;
  grows: boolean;
}

/** Caches fill and code is compiled in the first part of the time: what is kept then does not count. */
const WARM_UP = 1 / 3;
/** What is kept differs by more than nothing from look to look: calls are under way, caches age. */
const ALLOWED_BYTES = 6 * 2 ** 20;
const ALLOWED_SHARE = 0.08;

/**
 * Whether a process keeps more and more. A third of the time is for warming up; the first third of what is left is
 * compared with its last, each by its median.
 */
export function growthOf(looks: readonly Look[]): Growth {
  const counted = looks.slice(Math.floor(looks.length * WARM_UP));
  const third = Math.ceil(counted.length / 3);
  const [begin, end] = [counted.slice(0, third), counted.slice(-third)];
  const [first, last] = [median(begin, "used"), median(end, "used")];
  const hours = (median(end, "at") - median(begin, "at")) / 3_600;
  return {
    first,
    last,
    hourly: hours > 0 ? (last - first) / hours : 0,
    grows: last - first > Math.max(ALLOWED_BYTES, first * ALLOWED_SHARE),
  };
}

function median(looks: readonly Look[], key: "used" | "at"): number {
  return figureOf(looks.map((look) => look[key])).median;
}
