import type { SluiceError } from "@sluice/client";
import { invalidOption, refuseUnknown } from "@sluice/client/internal";
import type { ReceivedMessage } from "./received-message.ts";

/** What the consumer was doing when something went wrong. */
export type FailureStage = "receive" | "decode" | "handle" | "acknowledge" | "release" | "extend";

/** Something that went wrong and did not stop the consumer. */
export type ConsumerFailure =
  | {
      /** The handler failed: `error` is what it threw. */
      readonly stage: "handle";
      readonly error: unknown;
      readonly messages: readonly ReceivedMessage<unknown>[];
    }
  | {
      readonly stage: Exclude<FailureStage, "handle">;
      readonly error: SluiceError;
      /** The messages concerned; none when a receive failed. */
      readonly messages: readonly ReceivedMessage<unknown>[];
    };

/**
 * `idle` until it runs, then `receiving`, and `reconnecting` while the server cannot be reached;
 * `draining` from stop() until the last handler and acknowledgement is done, then `stopped` for good.
 */
export type ConsumerState = "idle" | "receiving" | "reconnecting" | "draining" | "stopped";

export interface ConsumerOptions {
  /** How many messages are handled at once by `run`: from 1. Default 10. */
  readonly concurrency?: number;
  /**
   * How many more are fetched ahead of the handlers; 0 for slow jobs that idle consumers should get at once: otherwise
   * those get them when no handler has ended for a visibility timeout. Of a FIFO queue: of how many more groups.
   * Default: `concurrency`.
   */
  readonly prefetch?: number;
  /** Most messages one receive takes, and a batch of `runBatches` holds: 1 to 1,000. Default 100. */
  readonly batchSize?: number;
  /**
   * How many receives are under way at once; with `runBatches` also how many batches are handled at once. Default 1.
   */
  readonly receivers?: number;
  /** How long a receive waits for a message in an empty queue: 1 to 20 seconds. Default 20. */
  readonly wait?: number;
  /**
   * How long a message is hidden from others at a time: 1 to 43,200 seconds. Default: the queue's own when the consumer
   * starts.
   */
  readonly visibilityTimeout?: number;
  /** Whether messages that are still held at half of their visibility timeout are extended by another. Default true. */
  readonly autoExtend?: boolean;
  /** Seconds until a failed message is visible again, by its receive count. Default 1, 2, 4 … up to 60. */
  readonly backoff?: (receiveCount: number) => number;
  /**
   * How long stop() waits for running handlers, in milliseconds, before it releases their messages; Infinity: as long
   * as they run. Default 20,000.
   */
  readonly drainTimeoutMs?: number;
  /** Stops the consumer like stop(). */
  readonly signal?: AbortSignal;
  /**
   * Told of everything that goes wrong without stopping the consumer, nor does what it throws or rejects with itself.
   * Default: a line by `console.error`; when receives fail one after the other, as in an outage, one for the first and
   * one when they work again.
   */
  readonly onError?: (failure: ConsumerFailure) => unknown;
  /** Told of each change of state. */
  readonly onStateChange?: (state: ConsumerState) => unknown;
}

type WithoutDefault = "signal" | "visibilityTimeout" | "onError";

export type Settings = Required<Omit<ConsumerOptions, WithoutDefault>> &
  Pick<ConsumerOptions, WithoutDefault>;

/** Fills the defaults in. Throws `invalid_request` for what is out of range or unknown. */
export function settingsOf(options: ConsumerOptions): Settings {
  const concurrency = options.concurrency ?? 10;
  const settings: Settings = {
    concurrency,
    prefetch: options.prefetch ?? concurrency,
    batchSize: options.batchSize ?? 100,
    receivers: options.receivers ?? 1,
    wait: options.wait ?? 20,
    visibilityTimeout: options.visibilityTimeout,
    autoExtend: options.autoExtend ?? true,
    backoff: options.backoff ?? exponentialBackoff,
    drainTimeoutMs: options.drainTimeoutMs ?? 20_000,
    signal: options.signal,
    onError: options.onError,
    onStateChange: options.onStateChange ?? (() => {}),
  };
  refuseUnknown(options, settings);
  checkRange(settings, "concurrency", [1, Infinity]);
  checkRange(settings, "prefetch", [0, Infinity]);
  checkRange(settings, "batchSize", [1, 1_000]);
  checkRange(settings, "receivers", [1, Infinity]);
  checkRange(settings, "wait", [1, 20]);
  if (settings.visibilityTimeout !== undefined)
    checkRange(settings, "visibilityTimeout", [1, 43_200]);
  if (!(settings.drainTimeoutMs >= 0))
    throw invalidOption("drainTimeoutMs", "expected milliseconds from 0");
  return settings;
}

/** 1, 2, 4 … 60 seconds: soon enough for a hiccup, seldom enough for a message that never succeeds. */
export function exponentialBackoff(receiveCount: number): number {
  return Math.min(60, 2 ** (receiveCount - 1));
}

type Count = "concurrency" | "prefetch" | "batchSize" | "receivers" | "wait" | "visibilityTimeout";

function checkRange(settings: Settings, name: Count, [min, max]: [number, number]): void {
  const value = settings[name];
  if (Number.isInteger(value) && value! >= min && value! <= max) return;
  const range = max === Infinity ? `from ${min}` : `from ${min} to ${max}`;
  throw invalidOption(name, `expected a whole number ${range}, got ${value}`);
}
