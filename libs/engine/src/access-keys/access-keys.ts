import { randomBytes } from "node:crypto";

import { schema, type ControlPlane, type Database } from "@sluice/database";
import { and, asc, desc, eq, isNull, sql } from "drizzle-orm";
import { LRUCache } from "lru-cache";

import { accountOf } from "../directory/account.ts";
import { seal, unseal } from "./seal.ts";

/** Who calls, and for which account. */
export interface AccessKey {
  id: string;
  account: string;
  /** Must be recoverable: a signature is checked by making it again. */
  secret: string;
}

export interface ListedAccessKey {
  id: string;
  account: string;
  createdAt: Date;
  disabledAt: Date | null;
}

/** How long a disabled key may go on working in a process, and a new one be unknown to it, in ms. */
const TIME_TO_LIVE = 3_000;
/** Age at which a key that is in use is looked up anew, in ms. */
const RENEWED_AFTER = 1_500;
/** For how long calls join a look-up that is under way, in ms: it may wait for a connection that fell silent. */
const SHARED_FOR = 1_000;
const MAX_KEYS = 10_000;
/** Keys to try before the sealing key is taken for another one. */
const ENOUGH_TO_TELL = 100;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const { accessKeys } = schema;

/** Access keys in Postgres, their secrets sealed by a key that is not there. */
export class AccessKeys {
  readonly #db: ControlPlane;
  readonly #lookUpDb: ControlPlane;
  readonly #sealingKey: Uint8Array;
  readonly #known = new LRUCache<string, { key: AccessKey | undefined }>({
    max: MAX_KEYS,
    ttl: TIME_TO_LIVE,
  });
  readonly #lookups = new LRUCache<string, Promise<AccessKey | undefined>>({
    max: MAX_KEYS,
    ttl: SHARED_FOR,
  });

  /** @param sealingKey - 32 bytes; the same for all processes of an installation */
  constructor({ control, lookUps }: Pick<Database, "control" | "lookUps">, sealingKey: Uint8Array) {
    this.#db = control;
    this.#lookUpDb = lookUps;
    this.#sealingKey = sealingKey;
  }

  /** Makes a key. Its secret is told this once. */
  async create(account: string): Promise<AccessKey> {
    const id = `SLUICE${letters(randomBytes(14))}`;
    const secret = randomBytes(32).toString("base64url");
    await this.#db.insert(accessKeys).values({
      id,
      account: BigInt(account),
      sealedSecret: seal(this.#sealingKey, secret, ownerOf(id, account)),
    });
    return { id, account, secret };
  }

  /** Whether the sealing key is that of the keys that there are: false when none of those in use opens. */
  async fits(): Promise<boolean> {
    const rows = await this.#db
      .select({
        id: accessKeys.id,
        account: accessKeys.account,
        sealedSecret: accessKeys.sealedSecret,
      })
      .from(accessKeys)
      .where(isNull(accessKeys.disabledAt))
      .orderBy(desc(accessKeys.createdAt))
      .limit(ENOUGH_TO_TELL);
    return rows.length === 0 || rows.some((row) => this.#opens(row));
  }

  /** All keys, without their secrets. */
  async list(): Promise<ListedAccessKey[]> {
    const rows = await this.#db
      .select({
        id: accessKeys.id,
        account: accessKeys.account,
        createdAt: accessKeys.createdAt,
        disabledAt: accessKeys.disabledAt,
      })
      .from(accessKeys)
      .orderBy(asc(accessKeys.createdAt));
    return rows.map((row) => ({ ...row, account: accountOf(row.account) }));
  }

  /**
   * From then on, or a few seconds later in processes that know it, nobody gets in with it. False when there is no such
   * key.
   */
  async disable(id: string): Promise<boolean> {
    const rows = await this.#db
      .update(accessKeys)
      .set({ disabledAt: sql`clock_timestamp()` })
      .where(and(eq(accessKeys.id, id), isNull(accessKeys.disabledAt)))
      .returning({ id: accessKeys.id });
    this.#known.delete(id);
    return rows.length > 0;
  }

  /** A key that may be used, as it was a few seconds ago at most. */
  async find(id: string): Promise<AccessKey | undefined> {
    const known = this.#known.get(id);
    if (!known) return await this.#lookUpOnce(id);
    // Ahead of its time, so that nobody waits for it.
    if (this.#known.getRemainingTTL(id) < TIME_TO_LIVE - RENEWED_AFTER)
      this.#lookUpOnce(id).catch(() => undefined);
    return known.key;
  }

  /**
   * For all who ask meanwhile: every call of a key asks when its time is over, and each that waits asks once a second,
   * also while nobody answers.
   */
  #lookUpOnce(id: string): Promise<AccessKey | undefined> {
    let lookup = this.#lookups.get(id);
    if (!lookup) {
      lookup = this.#lookUp(id).finally(() => this.#lookups.delete(id));
      this.#lookups.set(id, lookup);
    }
    return lookup;
  }

  async #lookUp(id: string): Promise<AccessKey | undefined> {
    const [row] = await this.#lookUpDb
      .select({ account: accessKeys.account, sealedSecret: accessKeys.sealedSecret })
      .from(accessKeys)
      .where(and(eq(accessKeys.id, id), isNull(accessKeys.disabledAt)));
    const key = row && this.#opened(id, accountOf(row.account), row.sealedSecret);
    this.#known.set(id, { key });
    return key;
  }

  /**
   * Looks after a key for a call that waits.
   * @param onDisabled - Called once, when the key may not be used any more.
   * @returns ends it
   */
  watch(id: string, onDisabled: () => void): () => void {
    const timer = setInterval(() => {
      this.find(id).then(
        (key) => {
          if (key) return;
          clearInterval(timer);
          onDisabled();
        },
        // A database that is away disables nobody.
        () => undefined,
      );
    }, TIME_TO_LIVE / 3);
    return () => {
      clearInterval(timer);
    };
  }

  #opens(row: { id: string; account: bigint; sealedSecret: Uint8Array }): boolean {
    try {
      this.#opened(row.id, accountOf(row.account), row.sealedSecret);
      return true;
    } catch {
      return false;
    }
  }

  #opened(id: string, account: string, sealed: Uint8Array): AccessKey {
    return { id, account, secret: unseal(this.#sealingKey, sealed, ownerOf(id, account)) };
  }
}

function ownerOf(id: string, account: string): string {
  return `${id}/${account}`;
}

function letters(bytes: Uint8Array): string {
  return [...bytes].map((byte) => ALPHABET.charAt(byte & 31)).join("");
}
