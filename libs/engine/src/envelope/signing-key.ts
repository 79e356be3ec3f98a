import { createHash, createPrivateKey, generateKeyPair, sign, type KeyObject } from "node:crypto";
import { promisify } from "node:util";

import type { Sql } from "@sluice/database";

import { existingSecret, sharedSecret } from "../receipt-handle/shared-secret.ts";
import { selfSignedCertificate } from "./certificate.ts";
import type { SignatureVersion } from "./notification.ts";

const NAME = "notification-signing-key";
const HASHES = { "1": "sha1", "2": "sha256" } as const satisfies Record<SignatureVersion, string>;

/** The RSA key that signs notifications, the same in all processes and after every restart, with its certificate. */
export class SigningKey {
  readonly #privateKey: KeyObject;
  /** PEM. */
  readonly certificate: string;
  /** Where the API serves the certificate, as SNS has it. */
  readonly certificatePath: string;

  private constructor(secret: Uint8Array) {
    const key = Buffer.from(secret);
    this.#privateKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
    this.certificate = selfSignedCertificate(this.#privateKey);
    const id = createHash("sha256").update(this.certificate).digest("hex").slice(0, 32);
    this.certificatePath = `/SimpleNotificationService-${id}.pem`;
  }

  /** Whoever asks first makes the key, which takes a moment. */
  static async open(sql: Sql): Promise<SigningKey> {
    return new SigningKey(await sharedSecret(sql, NAME, newPrivateKey));
  }

  /** Undefined when nothing was ever signed. */
  static async find(sql: Sql): Promise<SigningKey | undefined> {
    const secret = await existingSecret(sql, NAME);
    return secret && new SigningKey(secret);
  }

  /** Signs on a thread of its own: about a millisecond of a core. Base64. */
  async sign(text: string, version: SignatureVersion): Promise<string> {
    return await new Promise((resolve, reject) => {
      sign(HASHES[version], Buffer.from(text), this.#privateKey, (error, signature) => {
        if (error) reject(error);
        else resolve(signature.toString("base64"));
      });
    });
  }
}

async function newPrivateKey(): Promise<Uint8Array> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2_048 });
  return privateKey.export({ format: "der", type: "pkcs8" });
}
