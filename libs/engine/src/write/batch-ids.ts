import type { Sql } from "@sluice/database";

/** Ids in one block; the sequence counts blocks. */
const BLOCK = 1_024;
/** The next block is fetched when this many are left, so that a round seldom waits for it. */
const LOW = 256;

/**
 * Ids for new batches, taken from Postgres a block at a time: a message's id names its batch, so it has to be known
 * before the message is written. What a process leaves of its block is lost; 2^48 ids are enough for that.
 */
export class BatchIds {
  readonly #sql: Sql;
  #free: number[] = [];
  #fetching: Promise<void> | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** On another server others may have the same block. */
  forget(): void {
    this.#free = [];
  }

  async take(count: number): Promise<string[]> {
    while (this.#free.length < count) await this.#fetch();
    const taken = this.#free.splice(0, count);
    if (this.#free.length < LOW) {
      // Whoever needs them meets the failure, and asks again.
      this.#fetch().catch(() => undefined);
    }
    return taken.map(String);
  }

  async #fetch(): Promise<void> {
    this.#fetching ??= this.#nextBlock().finally(() => {
      this.#fetching = undefined;
    });
    await this.#fetching;
  }

  async #nextBlock(): Promise<void> {
    const sql = this.#sql;
    const free = this.#free;
    const [row] = await sql<{ block: string }[]>`SELECT nextval('batch_ids') AS block`;
    const first = Number(row?.block) * BLOCK;
    if (!Number.isSafeInteger(first)) throw new Error("Postgres gave no block of batch ids");
    free.push(...Array.from({ length: BLOCK }, (_, index) => first + index));
  }
}
