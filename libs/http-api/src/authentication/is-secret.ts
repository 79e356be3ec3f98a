import { createHash, timingSafeEqual } from "node:crypto";

/** Whether a text is the secret that is expected; takes as long for any text, also where none is expected. */
export function isSecret(given: string, expected: string | undefined): boolean {
  const same = timingSafeEqual(digest(given), digest(expected ?? ""));
  return same && expected !== undefined;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
