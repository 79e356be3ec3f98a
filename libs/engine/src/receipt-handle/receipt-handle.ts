import { timingSafeEqual } from "node:crypto";

import { hmacOfShort } from "./hmac.ts";

/** Names one receive of one slice; with the number of a bit it names one receive of one delivery. */
export interface SliceHandle {
  queueId: string;
  batchId: string;
  /** The receive that holds it: the fence against everybody who held it before. */
  lease: string;
  /**
   * The deadline the receive wrote, in ms since the epoch: where the row stands in the index. Of a FIFO queue, where it
   * stands by its sequence: that.
   */
  visibleAt: number;
}

export interface ReceiptHandle extends SliceHandle {
  bit: number;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const FIELD = 6;
const BODY = 4 * FIELD;
const MAC = 12;
/** 36 bytes are 48 characters without padding, and the bit (0-62) is one more. */
const PREFIX_LENGTH = ((BODY + MAC) * 4) / 3;
const PREFIX = /^[A-Za-z0-9_-]{48}$/;

/**
 * Makes and reads receipt handles: opaque tokens, bound to queue, batch and receive by a MAC.
 *
 * One MAC a slice, not one a message: the handles of a slice differ in their last character, the bit. Another bit of
 * the same receive is a handle that the same consumer was given as well, and a bit it was not given is not in the row.
 */
export class ReceiptHandles {
  /** Of the first 24 bytes, as hexadecimal digits. */
  readonly #hmac: (bytes: Buffer) => string;
  /** The message handles of a slice arrive together; its MAC is checked once. */
  #last: { prefix: string; slice: SliceHandle } | undefined;

  /** @param key - 32 secret bytes, shared by all processes of an installation. */
  constructor(key: Uint8Array) {
    this.#hmac = hmacOfShort(key, BODY);
  }

  /** What the handles of one received slice start with; `+ bitCharacter(bit)` makes one. */
  prefix(slice: SliceHandle): string {
    const bytes = Buffer.allocUnsafe(BODY + MAC);
    bytes.writeUIntBE(Number(slice.queueId), 0, FIELD);
    bytes.writeUIntBE(Number(slice.batchId), FIELD, FIELD);
    bytes.writeUIntBE(Number(slice.lease), 2 * FIELD, FIELD);
    bytes.writeUIntBE(slice.visibleAt, 3 * FIELD, FIELD);
    bytes.write(this.#hmac(bytes), BODY, MAC, "hex");
    return bytes.toString("base64url");
  }

  /** Reads a handle that this installation made; undefined for anything else. */
  read(handle: string): ReceiptHandle | undefined {
    if (handle.length !== PREFIX_LENGTH + 1) return undefined;
    const bit = ALPHABET.indexOf(handle.charAt(PREFIX_LENGTH));
    if (bit < 0 || bit > 62) return undefined;
    const slice = this.readPrefix(handle.slice(0, PREFIX_LENGTH));
    if (!slice) return undefined;
    // Member by member: spreading, for each handle of each call, is done in V8's slow way.
    const { queueId, batchId, lease, visibleAt } = slice;
    return { queueId, batchId, lease, visibleAt, bit };
  }

  /**
   * Reads what the handles of one received slice start with; undefined for anything that this installation did not
   * make.
   */
  readPrefix(prefix: string): SliceHandle | undefined {
    if (this.#last?.prefix === prefix) return this.#last.slice;
    if (!PREFIX.test(prefix)) return undefined;
    const bytes = Buffer.from(prefix, "base64url");
    const mac = Buffer.from(this.#hmac(bytes).slice(0, 2 * MAC), "hex");
    if (!timingSafeEqual(mac, bytes.subarray(BODY))) return undefined;
    const slice = {
      queueId: String(bytes.readUIntBE(0, FIELD)),
      batchId: String(bytes.readUIntBE(FIELD, FIELD)),
      lease: String(bytes.readUIntBE(2 * FIELD, FIELD)),
      visibleAt: bytes.readUIntBE(3 * FIELD, FIELD),
    };
    this.#last = { prefix, slice };
    return slice;
  }
}

/** The last character of the handle of the message at this bit. */
export function bitCharacter(bit: number): string {
  return ALPHABET.charAt(bit);
}
