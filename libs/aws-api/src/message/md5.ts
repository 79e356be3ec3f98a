import { createHash, hash } from "node:crypto";

import type { MessageAttribute } from "@sluice/engine";

export function md5(text: string): string {
  return hash("md5", text);
}

/**
 * The digest of a message's attributes that SDKs check (SQS developer guide, "Calculating the MD5 message digest for
 * message attributes"): in order of names, each name, type and value with its length before it.
 */
export function md5OfAttributes(attributes: Record<string, MessageAttribute>): string | undefined {
  const names = Object.keys(attributes).sort();
  if (names.length === 0) return undefined;
  const digest = createHash("md5");
  const add = (bytes: Buffer) => {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(bytes.length);
    digest.update(length).update(bytes);
  };
  for (const name of names) {
    const { type, value } = attributes[name] as MessageAttribute;
    const isBinary = type.startsWith("Binary");
    add(Buffer.from(name));
    add(Buffer.from(type));
    digest.update(isBinary ? BINARY : TEXT);
    add(Buffer.from(value, isBinary ? "base64" : "utf8"));
  }
  return digest.digest("hex");
}

const TEXT = Buffer.from([1]);
const BINARY = Buffer.from([2]);
