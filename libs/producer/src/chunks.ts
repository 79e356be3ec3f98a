import { SluiceError } from "@sluice/client";

/** What one call may hold: the server's limits. */
export const maxMessagesPerCall = 1_000;
export const maxBytesPerCall = 4 * 1024 * 1024;

const prefix = '{"messages":[';
const suffix = "]}";

/** Consecutive entries that go in one call. */
export interface Chunk {
  readonly from: number;
  readonly to: number;
}

/**
 * Splits entries, in order, into as few calls as the limits allow.
 *
 * Throws `message_too_large` when a single entry fills more than a call.
 *
 * @param placeOf - How errors call an entry. Default: as one of many payloads.
 */
export function splitIntoChunks(
  entries: readonly string[],
  placeOf = (index: number) => `payloads.${index}`,
): Chunk[] {
  const sizeOf = sizer(entries);
  const chunks: Chunk[] = [];
  const room = maxBytesPerCall - prefix.length - suffix.length + 1; // the last one has no comma
  let from = 0;
  let bytes = 0;
  for (const [index, entry] of entries.entries()) {
    const size = sizeOf(entry) + 1; // with its comma
    if (size > room) throw tooLarge(placeOf(index), size);
    if (bytes + size > room || index - from === maxMessagesPerCall) {
      chunks.push({ from, to: index });
      from = index;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < entries.length) chunks.push({ from, to: entries.length });
  return chunks;
}

export function callBody(entries: readonly string[]): string {
  return prefix + entries.join(",") + suffix;
}

/**
 * A UTF-16 unit is at most three bytes of UTF-8, so entries whose length fits three times over need no counting; that
 * is every ordinary call, and counting is what costs.
 */
function sizer(entries: readonly string[]): (entry: string) => number {
  const length = entries.reduce((sum, entry) => sum + entry.length, 0);
  if (3 * length + entries.length < maxBytesPerCall / 2) return (entry) => entry.length;
  const encoder = new TextEncoder();
  return (entry) => encoder.encode(entry).byteLength;
}

function tooLarge(path: string, size: number): SluiceError {
  const message = `${size} bytes as JSON, while a call takes ${maxBytesPerCall}`;
  return new SluiceError("message_too_large", `The message ${path} is too large: ${message}.`, {
    details: [{ path, message }],
  });
}
