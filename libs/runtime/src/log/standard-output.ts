import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { isatty } from "node:tty";
import type { DestinationStream } from "pino";

const STANDARD_OUTPUT = 1;
/** Bytes of lines that wait for room. */
const MOST_WAITING = 1024 * 1024;
/** How soon what waits is tried again, ms: at first and after each that found room, and at most. */
const [SOON, LATE] = [10, 500];
/** How long the end of a process waits for whoever reads, ms: while nothing is taken, and in all. */
const [IDLE_AT_END, LONGEST_END] = [1_000, 5_000];

/**
 * Standard output, of which no write waits for whoever reads it: a pipe that nobody empties (a pager, a collector that
 * hangs) would stop the process for ever.
 *
 * - A line is written at once, in the call, so that the last one before an exit is there.
 * - What finds no room, in a pipe or on a disk, is kept and tried again; beyond a mebibyte lines are lost, and counted.
 * - What nobody will ever read, since the other end is closed, is dropped without a word, as at the end of `| head`.
 */
export class StandardOutput implements DestinationStream {
  #fd: number | undefined;
  #waiting: Buffer[] = [];
  #bytes = 0;
  #lost = 0;
  #untold = 0;
  #closed = false;
  #retryMs = SOON;
  #timer: NodeJS.Timeout | undefined;
  /** Called with the number of lines that were lost, when there is room again. */
  onRoom: ((lost: number) => void) | undefined;

  /** Lines that were lost so far. */
  get lost(): number {
    return this.#lost;
  }

  write(line: string): void {
    const size = Buffer.byteLength(line);
    if (this.#bytes + size > MOST_WAITING) this.#flush();
    const written = this.#bytes === 0 ? this.#put(line) : 0;
    if (written === size || this.#closed) return;
    // The rest of a line is kept whatever its size: half a line would spoil the next one.
    if (written === 0 && this.#bytes + size > MOST_WAITING) {
      this.#lost += 1;
      this.#untold += 1;
      return;
    }
    this.#waiting.push(Buffer.from(line).subarray(written));
    this.#bytes += size - written;
    this.#retryLater();
  }

  /** Gives what waits a last chance, in bounded time. It blocks: at the end of a process nothing else runs. */
  end(): void {
    clearTimeout(this.#timer);
    const began = performance.now();
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (let last = began, left = this.#bytes; !this.#flush(); Atomics.wait(clock, 0, 0, SOON)) {
      const now = performance.now();
      if (this.#bytes < left) last = now;
      left = this.#bytes;
      if (now - last > IDLE_AT_END || now - began > LONGEST_END) return;
    }
  }

  #retryLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const before = this.#bytes;
      const done = this.#flush();
      this.#retryMs = done || this.#bytes < before ? SOON : Math.min(2 * this.#retryMs, LATE);
      if (!done) this.#retryLater();
    }, this.#retryMs).unref();
  }

  /** Writes what waits as far as there is room, and gives whether nothing waits any more. */
  #flush(): boolean {
    for (let first = this.#waiting[0]; first && !this.#closed; first = this.#waiting[0]) {
      const written = this.#put(first);
      if (written === 0) break;
      this.#bytes -= written;
      if (written === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(written);
    }
    if (this.#closed) [this.#waiting, this.#bytes] = [[], 0];
    if (this.#bytes > 0) return false;
    const lost = this.#untold;
    this.#untold = 0;
    if (lost > 0 && !this.#closed) this.onRoom?.(lost);
    return this.#bytes === 0;
  }

  /** Gives how many bytes found room. */
  #put(data: string | Buffer): number {
    if (this.#closed) return 0;
    try {
      this.#fd ??= withoutBlocking(STANDARD_OUTPUT);
      return typeof data === "string" ? writeSync(this.#fd, data) : writeSync(this.#fd, data);
    } catch (error) {
      this.#closed = (error as NodeJS.ErrnoException).code === "EPIPE";
      return 0;
    }
  }
}

/** The end of one that nobody knew any more would close what it stands for. */
const kept: Socket[] = [];

/** Gives a descriptor of the same file, a write to which fails with EAGAIN where it would wait. */
function withoutBlocking(fd: number): number {
  const file = fstatSync(fd);
  const isTerminal = isatty(fd);
  if (process.platform === "linux" && (file.isFIFO() || isTerminal)) {
    try {
      // Opened anew: O_NONBLOCK on the one that we were given would be there for all who share it, a shell and what
      // else it started.
      const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
      return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    } catch {
      // It may belong to another user.
    }
  }
  // A socket cannot be opened anew. libuv makes it one that does not block.
  if (file.isSocket() || (file.isFIFO() && process.platform !== "win32"))
    kept.push(new Socket({ fd, readable: false, writable: true }));
  return fd;
}
