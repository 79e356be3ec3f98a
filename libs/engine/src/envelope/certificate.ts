import { createHash, createPublicKey, sign, type KeyObject } from "node:crypto";

/**
 * The X.509 certificate of a signing key, signed by itself, as PEM. It follows from the key alone, so that every
 * process serves the same one. (Node reads certificates and makes none; the few structures needed are written here. RFC
 * 5280.)
 */
export function selfSignedCertificate(privateKey: KeyObject): string {
  const publicKey = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const name = sequence(set(sequence(objectId(COMMON_NAME), utf8("sluice notifications"))));
  const serial = createHash("sha256").update(publicKey).digest().subarray(0, 16);
  // Positive: the first bit is the sign.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const algorithm = sequence(objectId(SHA256_WITH_RSA), Buffer.from([0x05, 0x00]));
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, serial),
    algorithm,
    name,
    sequence(
      tagged(0x17, Buffer.from("250101000000Z")),
      tagged(0x18, Buffer.from("21250101000000Z")),
    ),
    name,
    publicKey,
  );
  const signature = sign("sha256", body, privateKey);
  const der = sequence(body, algorithm, tagged(0x03, Buffer.from([0]), signature));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

// 2.5.4.3 and 1.2.840.113549.1.1.11
const COMMON_NAME = "550403";
const SHA256_WITH_RSA = "2a864886f70d01010b";

function objectId(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, "hex"));
}

function utf8(text: string): Buffer {
  return tagged(0x0c, Buffer.from(text));
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, ...parts);
}

function set(...parts: Buffer[]): Buffer {
  return tagged(0x31, ...parts);
}

/** Tag, length, value, as DER has them. */
function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(value.length), value]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes = length < 0x1_00 ? 1 : 2;
  const buffer = Buffer.alloc(bytes + 1);
  buffer[0] = 0x80 | bytes;
  buffer.writeUIntBE(length, 1, bytes);
  return buffer;
}
