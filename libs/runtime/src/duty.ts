import { backoffDelay } from "./backoff.ts";
import type { Logger } from "./log/logger.ts";

export interface DutyOptions {
  /** Names the duty in the log: "sweeper". */
  name: string;
  /** Pause between the end of a run and the next start, milliseconds. Up to a tenth is added at random. */
  intervalMs: number;
  /**
   * One run. The signal fires on {@link Duty.stop}, for runs that can end early. Resolve with `"again"` when there is
   * more to do at once; rejecting is logged and backs off: for a second at most after the first failure, for five after
   * many, or for `intervalMs` where that is longer.
   */
  runOnce: (signal: AbortSignal) => Promise<unknown>;
  logger: Logger;
}

/** A background duty. Every one has this shape, so that whoever knows one knows them all. */
export interface Duty {
  readonly name: string;
  /**
   * Begins with a run at once. Does nothing when it has begun.
   * @param failed - Called for each run that fails, beside the line in the log.
   */
  start(failed?: () => void): void;
  /** Asks for a run now instead of after the pause; during a run, for one more right after it. */
  poke(): void;
  /** Ends the pause or waits for the run. No run begins afterwards. */
  stop(): Promise<void>;
}

/**
 * Makes a duty: run, pause, run. Runs never overlap.
 *
 *     idle ──start──▶ running ──done──▶ pausing ──time or poke──▶ running …
 *                     running ──done and (poked or "again")──▶ running
 *                     running ──failed──▶ pausing (longer with each failure; pokes wait too)
 *                     any ──stop──▶ stopped
 *
 * A pause does not keep the process alive: a duty serves the process, not the other way round.
 */
export function createDuty(options: DutyOptions): Duty {
  const { name, intervalMs, logger } = options;
  const initialMs = Math.min(1_000, intervalMs);
  const maxMs = Math.max(5_000, intervalMs);
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let poked = false;
  let failures = 0;
  let started = false;
  let failed: (() => void) | undefined;

  async function run(): Promise<void> {
    poked = false;
    const outcome = await attempt();
    running = undefined;
    if (stopping.signal.aborted) return;
    if (outcome === "failed") pause(backoffDelay(failures, { initialMs, maxMs }));
    else if (poked || outcome === "again") begin();
    else pause(intervalMs * (1 + Math.random() / 10));
  }

  async function attempt(): Promise<unknown> {
    try {
      const outcome = await options.runOnce(stopping.signal);
      failures = 0;
      return outcome;
    } catch (err) {
      if (stopping.signal.aborted) return undefined;
      failures += 1;
      logger.error({ event: "duty.failed", duty: name, failures, err }, `${name} failed`);
      failed?.();
      return "failed";
    }
  }

  function begin(): void {
    clearTimeout(timer);
    timer = undefined;
    running = run();
  }

  function pause(ms: number): void {
    timer = setTimeout(begin, ms).unref();
  }

  return {
    name,
    start(onFailure) {
      if (started || stopping.signal.aborted) return;
      started = true;
      failed = onFailure;
      begin();
    },
    poke() {
      poked = true;
      // After a failure the pause is kept: a poke for each message must not become a storm on a database that is away.
      if (timer !== undefined && failures === 0) begin();
    },
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      timer = undefined;
      await running;
    },
  };
}
