import { numbers, type Sql } from "@sluice/database";
import { LRUCache } from "lru-cache";

/** Lines by batch; those that are gone are in neither. */
export interface FoundPayloads {
  lines: Map<string, readonly string[]>;
  /** Those that would have been too much. */
  left: Set<string>;
}

/**
 * The lines of recently written or read batches.
 *
 * A line that somebody may still receive never changes, so a cached one is never wrong. Ten queues that read the same
 * publish through this process read its payload from Postgres once, or not at all where this process wrote it.
 */
export class Payloads {
  readonly #sql: Sql;
  readonly #maxBytes: number;
  #lines: LRUCache<string, readonly string[]>;
  /** The JSON of large whole batches, for as long as their lines are remembered. */
  readonly #json = new WeakMap<readonly string[], Buffer>();

  /** @param maxBytes - Bound of what is kept, counted in characters. Default 64 Mi. */
  constructor(sql: Sql, maxBytes = 64 * 1024 * 1024) {
    this.#sql = sql;
    this.#maxBytes = maxBytes;
    this.#lines = newCache(maxBytes);
  }

  put(batchId: string, lines: readonly string[]): void {
    // As parts of one text, as those that are read from Postgres. What was put together of others refers to all of
    // them: a line of 300 characters took a kilobyte.
    this.#lines.set(batchId, lines.join("\n").split("\n"));
  }

  /** Of a batch that may not have been stored. */
  delete(batchId: string): void {
    this.#lines.delete(batchId);
  }

  /** On another server an id may stand for another batch. What is being read from this one is not remembered. */
  forget(): void {
    this.#lines = newCache(this.#maxBytes);
  }

  /**
   * All messages of a batch as JSON objects with commas between them. Nearly every queue hands out whole batches, so
   * this is made once and then copied into each answer: what an answer costs is per slice, not per message.
   *
   * Undefined for a small batch: Node makes small buffers out of pieces of 8 KiB that they share with others, and each
   * piece stays for as long as one of them does. With 24,000 batches of one message that was 112 MB, 13 times what they
   * hold.
   */
  jsonOf(lines: readonly string[]): Buffer | undefined {
    const known = this.#json.get(lines);
    if (known) return known;
    if (lines.reduce((sum, line) => sum + line.length, 0) < Buffer.poolSize / 2) return undefined;
    const json = Buffer.from(`{${lines.join("},{")}}`);
    this.#json.set(lines, json);
    return json;
  }

  /** The lines of each of these batches; one query for all that are not at hand. A batch that is gone is left out. */
  async get(batchIds: readonly string[]): Promise<Map<string, readonly string[]>> {
    const { lines } = await this.getSome(batchIds, Number.MAX_SAFE_INTEGER);
    return lines;
  }

  /**
   * The same, but no more than `most` bytes, and a batch, of what is not at hand: the first batch, and then in order of
   * their ids, which is nearly that in which they are received.
   */
  async getSome(batchIds: readonly string[], most: number): Promise<FoundPayloads> {
    const found: FoundPayloads = { lines: new Map(), left: new Set() };
    const cache = this.#lines;
    const missing: string[] = [];
    for (const id of new Set(batchIds)) {
      const lines = cache.get(id);
      if (lines) found.lines.set(id, lines);
      else missing.push(id);
    }
    if (missing.length > 0) {
      const sql = this.#sql;
      // Of what is stored beside its row, only that is read which is returned.
      const rows = await sql<{ id: string; payload: string | null }[]>`
        SELECT id, CASE WHEN id = ${missing[0]!}::bigint OR sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) < ${most}::bigint
                        THEN payload END AS payload
        FROM batches WHERE id = ANY(${numbers(missing)}::bigint[])`;
      for (const { id, payload } of rows) {
        if (payload === null) found.left.add(id);
        else {
          const lines = payload.split("\n");
          cache.set(id, lines);
          found.lines.set(id, lines);
        }
      }
    }
    return found;
  }
}

function newCache(maxBytes: number): LRUCache<string, readonly string[]> {
  return new LRUCache({
    maxSize: maxBytes,
    // Once as lines, once as JSON.
    sizeCalculation: (lines) => lines.reduce((sum, line) => sum + 2 * line.length, 64),
  });
}
