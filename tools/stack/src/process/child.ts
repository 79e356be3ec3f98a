import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { scheduledInBatches } from "./batch-scheduling.ts";
import { dieWithParent } from "./parent-death.ts";
import { StackError } from "../stack-error.ts";

const TAIL_LINES = 200;

/** How a child ended: an exit code, or the signal that ended it. */
export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process that was started here; disposing it stops it. */
export interface Child extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** False from the moment it has ended. */
  readonly running: boolean;
  /** Settles when the process is gone, however it went. Never rejects. */
  readonly exited: Promise<ChildExit>;
  /** The last 200 lines of its output, oldest first, stdout and stderr mixed as they came. */
  tail(): string[];
  /** Asks the process to end, insists after its grace period, and waits until it is gone. */
  stop(): Promise<ChildExit>;
  /** Sends a signal (default SIGKILL) and, if that ends the process, resolves with its exit. */
  kill(signal?: NodeJS.Signals): Promise<ChildExit>;
  /** Sends a signal and does not wait: for SIGSTOP and SIGCONT. */
  signal(signal: NodeJS.Signals): void;
  /** The first defined value that `match` gives for a line, past lines included; fails when the process ends first. */
  waitFor<T>(
    match: (line: string) => T | undefined,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<T>;
}

/** What to run and how to end it. */
export interface ChildOptions {
  /** For messages: "Postgres", "api". */
  name: string;
  command: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** Run as this user instead of our own; needs root. */
  user?: { uid: number; gid: number } | undefined;
  stopSignal: NodeJS.Signals;
  /** Sent when the process has not gone `graceMs` after `stopSignal`. */
  lastSignal: NodeJS.Signals;
  graceMs: number;
  onLine?: (line: string) => void;
}

const alive = new Map<ChildProcess, ChildOptions>();

// A node process that ends without stopping its children (process.exit, an uncaught error) takes them along.
process.on("exit", () => {
  for (const [child, { stopSignal }] of alive) child.kill(stopSignal);
});

/** Ends everything that was started here without waiting for anything. */
export function abandonChildren(): void {
  for (const [child, { lastSignal }] of alive) child.kill(lastSignal);
}

/**
 * Starts a process in a session of its own, so that the Ctrl-C of a terminal reaches us alone and we choose the order
 * in which things stop.
 *
 * @throws StackError `child_failed` when the program cannot be started at all.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const [program, ...args] = dieWithParent(scheduledInBatches(options.command), options.stopSignal);
  const child = spawn(program as string, args, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    ...options.user,
  });
  try {
    await once(child, "spawn");
  } catch (cause) {
    throw new StackError("child_failed", `${options.name} could not be started: ${String(cause)}`, {
      cause,
    });
  }
  return new RunningChild(child, options);
}

class RunningChild implements Child {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<ChildExit>;
  readonly #child: ChildProcess;
  readonly #options: ChildOptions;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();

  constructor(child: ChildProcess, options: ChildOptions) {
    this.name = options.name;
    this.pid = child.pid as number;
    this.#child = child;
    this.#options = options;
    alive.set(child, options);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => this.#take(line));
    }
    this.exited = this.#untilGone();
  }

  get running(): boolean {
    return alive.has(this.#child);
  }

  tail(): string[] {
    return [...this.#lines];
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<ChildExit> {
    this.signal(signal);
    return this.exited;
  }

  async stop(): Promise<ChildExit> {
    this.signal(this.#options.stopSignal);
    const insist = setTimeout(() => this.signal(this.#options.lastSignal), this.#options.graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(insist);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  waitFor<T>(
    match: (line: string) => T | undefined,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#watchers.delete(look);
        act();
      };
      const fail = (what: string) => settle(() => reject(this.#failure(what)));
      const abort = () => settle(() => reject(signal?.reason as Error));
      const look = (line: string) => {
        const found = match(line);
        if (found !== undefined) settle(() => resolve(found));
      };
      const timer = setTimeout(() => fail(`was not ready after ${timeoutMs / 1000} s`), timeoutMs);
      signal?.addEventListener("abort", abort);
      this.#watchers.add(look);
      for (const line of this.#lines) look(line);
      if (signal?.aborted) abort();
      void this.exited.then((exit) => fail(`ended before it was ready (${describeExit(exit)})`));
    });
  }

  #failure(what: string): StackError {
    return new StackError("child_failed", `${this.name} ${what}.`, {
      output: this.#lines.slice(-20),
    });
  }

  #take(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > TAIL_LINES) this.#lines.shift();
    for (const watcher of this.#watchers) watcher(line);
    this.#options.onLine?.(line);
  }

  async #untilGone(): Promise<ChildExit> {
    const closed = once(this.#child, "close");
    const [code, signal] = (await once(this.#child, "exit")) as [
      number | null,
      NodeJS.Signals | null,
    ];
    alive.delete(this.#child);
    // "close" brings the last lines, but a grandchild that holds the pipe (a Postgres backend that outlives its
    // postmaster) may delay it for long.
    const patience = new AbortController();
    const enough = delay(500, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([closed, enough]);
    patience.abort();
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    return { code, signal };
  }
}

/** "exit code 1" or "signal SIGKILL". */
export function describeExit(exit: ChildExit): string {
  return exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code}`;
}
