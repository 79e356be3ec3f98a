import { Socket, type SocketConstructorOpts } from "node:net";

import { Conversation, SilenceWatch } from "./silence.ts";

/** Where Postgres may be. */
export interface Addresses {
  host: string[];
  port: number[];
  path?: string | false;
}

/**
 * For the driver's `connection` parameters: makes the startup message so large that the driver writes it at once. The
 * socket takes it out again, so Postgres never sees it.
 */
export const startupPadding = { "sluice.padding": " ".repeat(1_024) };
const PADDING = Buffer.from(`sluice.padding\0${startupPadding["sluice.padding"]}\0`);

/** How long an attempt waits for a host before it goes on to the next, in ms. */
const REACHED_WITHIN = 2_000;

/** Version 3.0 in a startup message, after its length. */
const STARTUP = Buffer.from([0, 3, 0, 0]);

/**
 * Makes the sockets of one pool. Of several hosts each attempt begins with another one, and takes the first that can be
 * reached.
 *
 * @param silenceMs - What is asked and has no answer for longer is given up; see {@link SilenceWatch}.
 */
export function promptSockets(silenceMs: number): (addresses: Addresses) => Promise<Socket> {
  const watch = new SilenceWatch(silenceMs);
  let attempts = 0;
  return async ({ host: hosts, port: ports, path }) => {
    const attempt = (attempts += 1);
    for (let others = hosts.length - 1; ; others -= 1) {
      const turn = (attempt + others) % Math.max(1, hosts.length);
      const socket = new PromptSocket(watch);
      if (path) socket.connect(path);
      else socket.connect({ port: ports[turn] ?? 5432, host: hosts[turn] ?? "localhost" });
      // What becomes of the last one the driver finds out.
      if (others <= 0 || path || (await isReached(socket))) return socket;
    }
  };
}

function isReached(socket: Socket): Promise<boolean> {
  const timer = setTimeout(() => socket.destroy(), REACHED_WITHIN);
  return new Promise<boolean>((resolve) => {
    socket.once("connect", () => {
      resolve(true);
    });
    socket.once("close", () => {
      resolve(false);
    });
  }).finally(() => {
    clearTimeout(timer);
  });
}

/** Statements that are sent together are written together, in bytes; by default not after the first 16 KiB. */
const HIGH_WATER_MARK = 1024 * 1024;

/**
 * A socket after whose loss the driver (postgres 3.4.9) can use its connection again. What it gets wrong with a plain
 * one, each seen in runs of chaos:
 *
 * - A broken socket says `error` first and `close` a moment later. At the first, the driver rejects the queries that
 *   were under way; at the second, it makes the connection available for reconnecting. A query in between, as group
 *   commit makes one at once, is sent to the dead connection, never settles, and blocks the connection for good.
 * - With the close the driver forgets the socket. A transaction whose query was rejected rolls back, and that is
 *   written to nothing: an exception that nobody can catch ends the process.
 * - A query that was about to be written when the connection closed stays in the buffer, and the flag that a write is
 *   due stays up: after the next connect nothing small is ever flushed, until 5 s later the attempt times out and the
 *   next one begins in the same way. So the startup message is a large one, and what is left over before it is not
 *   sent.
 *
 * - An error is told when its answer has ended. When the connection ends before, it is told to the first query after
 *   the next connect, whatever that asks. So the answer is ended here.
 * - When Postgres says why it ends the connection, the driver waits for the end of that answer, which does not come,
 *   and then takes it for the answer to the first query after the next connect. So it is told with the end.
 *
 * So the end of a connection comes in an order of our own, whichever way it ended: an `error`, which rejects what was
 * under way; time for what follows from that to be written to the dead socket; once more an `error`, which rejects that
 * as well; and in the same instant the `close`.
 *
 * https://github.com/porsager/postgres/issues/1133 and the pull requests 1209 and 1215 tell of the same. Over TLS the
 * driver wraps the socket in one of its own, and keeps these faults.
 */
class PromptSocket extends Socket {
  #ended = false;
  #spoken = false;
  readonly #watch: SilenceWatch;
  readonly #conversation = new Conversation(this);
  /** Why Postgres ends it. */
  #farewell: string | undefined;

  constructor(watch: SilenceWatch) {
    super({ writableHighWaterMark: HIGH_WATER_MARK } as SocketConstructorOpts);
    this.#watch = watch;
    watch.add(this.#conversation);
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== "close" && event !== "error") return super.emit(event, ...args);
    if (this.#ended) return false;
    this.#ended = true;
    this.#watch.remove(this.#conversation);
    const error =
      event === "error" && this.#farewell === undefined
        ? args[0]
        : connectionClosed(this.#farewell);
    const missing = this.#conversation.missingEnd;
    if (missing) super.emit("data", missing);
    const reject = () => this.listenerCount("error") > 0 && super.emit("error", error);
    const heard = reject();
    // The driver writes small things in an immediate; the second one comes after those that follow from the error.
    setImmediate(() => {
      setImmediate(() => {
        reject();
        super.emit("close", true);
      });
    });
    return heard;
  }

  // Not `write`, which `connect` puts back to what a plain socket has.
  override _write(
    chunk: Buffer,
    encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    const message = this.#spoken ? chunk : fromStartup(chunk);
    if (!this.#spoken && message === chunk) this.#conversation.becomeOpaque();
    this.#conversation.wrote(message, this.#spoken);
    this.#spoken = true;
    super._write(message, encoding, callback);
  }

  // Not a listener: the driver removes all there are when it changes to TLS.
  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) return super.push(chunk, encoding);
    if (this.#conversation.heard(chunk)) this.#watch.answered();
    const { farewell } = this.#conversation;
    if (farewell === undefined) return super.push(chunk, encoding);
    this.#farewell = farewell.says;
    return super.push(chunk.subarray(0, farewell.at), encoding);
  }
}

function connectionClosed(why = ""): Error {
  const message = "the connection to Postgres was closed" + (why === "" ? "" : `: ${why}`);
  return Object.assign(new Error(message), { code: "CONNECTION_CLOSED" });
}

/** The first thing on a connection is the startup message; what comes before it was meant for the last connection. */
function fromStartup(chunk: Buffer): Buffer {
  const start = chunk.lastIndexOf(STARTUP) - 4;
  const padding = chunk.indexOf(PADDING, Math.max(0, start));
  // What asks for TLS, or cancels a query, is none.
  if (start < 0 || padding < start) return chunk;
  const message = Buffer.concat([
    chunk.subarray(start, padding),
    chunk.subarray(padding + PADDING.length),
  ]);
  message.writeInt32BE(message.length, 0);
  return message;
}
