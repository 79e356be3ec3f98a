import { hash } from "node:crypto";

/** Of SHA-256, in bytes. */
const BLOCK = 64;
const DIGEST = 32;
const INNER = 0x36;
const OUTER = 0x5c;

/**
 * Makes HMAC-SHA-256 (RFC 2104) of texts of one short length: two digests over what is prepared here.
 *
 * `createHmac` makes objects for what could be of any length, which have to be collected later: 1.8 µs for a text of 24
 * bytes, here 0.7, and a receive and its acknowledgement need two.
 *
 * @param key - At most 64 bytes.
 * @returns a function that takes what begins with the text, and gives hexadecimal digits
 */
export function hmacOfShort(key: Uint8Array, length: number): (bytes: Buffer) => string {
  const inner = padded(key, INNER, length);
  const outer = padded(key, OUTER, DIGEST);
  return (bytes) => {
    bytes.copy(inner, BLOCK, 0, length);
    outer.write(hash("sha256", inner), BLOCK, "hex");
    return hash("sha256", outer);
  };
}

/** The key, made different by `pad`, and room for `length` bytes after it. */
function padded(key: Uint8Array, pad: number, length: number): Buffer {
  if (key.length > BLOCK) throw new RangeError(`a key of more than ${BLOCK} bytes`);
  const block = Buffer.alloc(BLOCK + length);
  block.set(key);
  for (let index = 0; index < BLOCK; index += 1) block[index] = (block[index] ?? 0) ^ pad;
  return block;
}
