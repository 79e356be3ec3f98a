import { isLockNotAvailable, type Sql } from "@sluice/database";

/** How long a statement waits for a lock while it has no place to wait in. */
export const SOON = "50ms";
/** How long a claim does that has one: other receives of its queue, and other groups, wait for it. */
const BRIEFLY = "100ms";
/** How long one that has none. */
const HARDLY = "1ms";

/**
 * Lets no more than half of a pool's connections wait for locks. A statement that meets one gives it up soon, and is
 * sent again when a place is free, to wait then for as long as a statement may take.
 *
 * Whoever stands still with locks on slices of one queue would stop all queues otherwise: claims need connections too.
 */
export class LockWaits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(sql: Sql) {
    this.#free = Math.max(1, Math.floor(sql.options.max / 2));
  }

  /** @param statement - Waits for locks for so long, or as long as it may. */
  async run<Result>(statement: (lockTimeout?: string) => Promise<Result>): Promise<Result> {
    try {
      return await statement(SOON);
    } catch (error) {
      if (!isLockNotAvailable(error)) throw error;
    }
    await this.#takePlace();
    try {
      return await statement();
    } finally {
      this.#leavePlace();
    }
  }

  /**
   * Lets it wait for locks for a moment where a place is free, and hardly at all else; it may fail with what
   * isLockNotAvailable knows.
   *
   * @param statements - Wait for each lock for so long.
   */
  async briefly<Result>(statements: (lockTimeout: string) => Promise<Result>): Promise<Result> {
    if (this.#free === 0) return await statements(HARDLY);
    this.#free -= 1;
    try {
      return await statements(BRIEFLY);
    } finally {
      this.#leavePlace();
    }
  }

  async #takePlace(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leavePlace(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}
