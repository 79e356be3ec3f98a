import { createHash } from "node:crypto";

/** What is left of a body once it has been looked at. */
export interface Fingerprint {
  readonly bytes: number;
  readonly sha256: string;
}

export function fingerprint(body: string): Fingerprint {
  return { bytes: Buffer.byteLength(body), sha256: sha256(body) };
}

/** One SHA-256 of all bodies with their message ids, in whatever order they came. */
export function combined(prints: ReadonlyMap<string, Fingerprint>): Fingerprint {
  const lines: string[] = [];
  let bytes = 0;
  for (const [id, print] of prints) {
    lines.push(`${id} ${print.sha256}\n`);
    bytes += print.bytes;
  }
  return { bytes, sha256: sha256(lines.sort().join("")) };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
