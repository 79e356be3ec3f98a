import type { Socket } from "node:net";

const NOTHING = Buffer.alloc(0);

/**
 * Counts messages of some types in a stream of Postgres' protocol: a type, a length of four bytes that counts itself,
 * and so many bytes.
 */
export class MessageCounter {
  readonly #types: readonly number[];
  /** Bytes of the message under way that are still to come. */
  #rest = 0;
  /** What has come of a header that was cut in two. */
  #header = NOTHING;
  /** Of the message whose header came last. */
  #type = 0;
  #length = 0;

  /** @param types - Each a character. */
  constructor(types: string) {
    this.#types = [...Buffer.from(types)];
  }

  /** How many messages of these types begin in the chunk. */
  count(chunk: Buffer): number {
    return this.find(chunk).length;
  }

  /** Where in the chunk messages of these types begin; negative where their header began before it. */
  find(chunk: Buffer): number[] {
    const bytes = this.#header.length === 0 ? chunk : Buffer.concat([this.#header, chunk]);
    const found: number[] = [];
    let at = this.#rest;
    while (at + HEADER <= bytes.length) {
      this.#type = bytes[at] ?? 0;
      this.#length = 1 + bytes.readUInt32BE(at + 1);
      if (this.#types.includes(this.#type)) found.push(at - this.#header.length);
      at += this.#length;
    }
    this.#rest = Math.max(0, at - bytes.length);
    this.#header = at < bytes.length ? Buffer.from(bytes.subarray(at)) : NOTHING;
    return found;
  }

  /** Of the message under way: its type, and how many bytes of it have come; undefined between two of them. */
  get underWay(): { type: number; come: number } | undefined {
    const [type] = this.#header;
    if (type !== undefined) return { type, come: this.#header.length };
    return this.#rest > 0 ? { type: this.#type, come: this.#length - this.#rest } : undefined;
  }
}

const HEADER = 5;
/** The end of an answer: ReadyForQuery, in a transaction that has failed. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x45]);
/** The fields of an error that say how severe it is, in English always. */
const FATAL = ["VFATAL", "VPANIC"];

/** What Postgres says as it ends a connection, and where in a chunk it does. */
export interface Farewell {
  at: number;
  says: string;
}

function farewellAt(chunk: Buffer, at: number | undefined): Farewell | undefined {
  if (at === undefined || at < 0) return undefined;
  const fields = chunk.toString("utf8", at + HEADER).split("\0");
  if (!fields.some((field) => FATAL.includes(field))) return undefined;
  return { at, says: fields.find((field) => field.startsWith("M"))?.slice(1) ?? "" };
}

/** One connection, as far as its silence goes; times by the clock of this process in ms. */
export class Conversation {
  readonly socket: Socket;
  /** Sync and Query ask for an answer that ends with ReadyForQuery. */
  readonly #asked = new MessageCounter("SQ");
  readonly #answered = new MessageCounter("Z");
  readonly #errors = new MessageCounter("E");
  /** Where in the chunk that was heard last Postgres says why it ends the connection, and what. */
  #farewell: Farewell | undefined;
  /** Whether an error has come and the end of its answer has not. */
  #isFailing = false;
  /** Whether a part of that end has come. */
  #isEndCut = false;
  #isStarted = false;
  #open = 0;
  /** Since when nothing was heard: the first write after what was heard last. */
  #writtenAt = -Infinity;
  #heardAt = -Infinity;
  /** Encrypted: what goes over it cannot be read. */
  #isOpaque = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /**
   * @param isReadable - Whether it is a message with a type; not the first one of a connection, and nothing that is
   * encrypted.
   */
  wrote(chunk: Buffer, isReadable: boolean): void {
    if (this.#writtenAt <= this.#heardAt) this.#writtenAt = performance.now();
    if (isReadable && !this.#isOpaque) this.#open += this.#asked.count(chunk);
  }

  /** Nothing that follows can be read. */
  becomeOpaque(): void {
    this.#isOpaque = true;
  }

  /** @returns Whether a statement was answered to its end. */
  heard(chunk: Buffer): boolean {
    this.#heardAt = performance.now();
    if (this.#isOpaque) return false;
    const answers = this.#answered.find(chunk);
    const errors = this.#errors.find(chunk);
    this.#farewell = this.#isStarted ? farewellAt(chunk, errors.at(-1)) : undefined;
    // The driver is not told of that as of an error.
    if (this.#farewell) errors.pop();
    this.#noteFailure(errors.at(-1), answers.at(-1) ?? (this.#isEndCut ? -1 : undefined));
    this.#isStarted ||= answers.length > 0;
    // The first ReadyForQuery ends the start of the connection, which is no statement.
    this.#open = Math.max(0, this.#open - answers.length);
    return answers.length > 0;
  }

  /** Where in the chunk that was heard last an error begins, and where the last answer ends, or begins to. */
  #noteFailure(failsAt: number | undefined, endsAt: number | undefined): void {
    this.#isEndCut = this.#answered.underWay?.type === READY[0];
    if (failsAt !== undefined) this.#isFailing = true;
    if (endsAt === undefined || endsAt < (failsAt ?? -Infinity) || this.#isEndCut) return;
    this.#isFailing = false;
  }

  /**
   * What is missing of the end of an answer that tells of an error; undefined when no such answer is under way, or its
   * error has not come as a whole.
   */
  get missingEnd(): Buffer | undefined {
    if (this.#isOpaque || !this.#isStarted || !this.#isFailing) return undefined;
    const { type, come } = this.#answered.underWay ?? { type: READY[0], come: 0 };
    return type === READY[0] ? READY.subarray(come) : undefined;
  }

  /**
   * Where in the chunk that was heard last Postgres says why it ends the connection, which it does after that; not of
   * an attempt to connect.
   */
  get farewell(): Farewell | undefined {
    return this.#farewell;
  }

  /** For how long something that was asked has had no answer; 0 when nothing is. */
  get silence(): number {
    const waits = this.#open > 0 || this.#writtenAt > this.#heardAt;
    return waits ? performance.now() - Math.max(this.#writtenAt, this.#heardAt) : 0;
  }
}

/** A limit grows to so many times what it was. */
const MOST_PATIENCE = 16;
/** How often connections are looked at, as a share of the limit. */
const LOOKS = 8;

/**
 * Gives up connections whose answer does not come: a host that vanished, or a firewall that forgot them, closes
 * nothing, and TCP waits a quarter of an hour.
 *
 * No statement may take as long as the limit, so what is silent for longer is lost, or its commit stalls: the disk, or
 * a synchronous standby. Then a session that was given up goes on waiting at the server, and the next connection adds
 * another. So the limit doubles with each round of connections that are given up, until one is answered again.
 */
export class SilenceWatch {
  readonly #limitMs: number;
  #factor = 1;
  readonly #conversations = new Set<Conversation>();
  #timer: NodeJS.Timeout | undefined;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  add(conversation: Conversation): void {
    this.#conversations.add(conversation);
    this.#timer ??= setInterval(() => {
      this.#look();
    }, this.#limitMs / LOOKS).unref();
  }

  remove(conversation: Conversation): void {
    this.#conversations.delete(conversation);
    if (this.#conversations.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  answered(): void {
    this.#factor = 1;
  }

  #look(): void {
    const limit = this.#limitMs * this.#factor;
    const silent = [...this.#conversations].filter(({ silence }) => silence > limit);
    if (silent.length === 0) return;
    this.#factor = Math.min(MOST_PATIENCE, 2 * this.#factor);
    for (const { socket } of silent)
      socket.destroy(
        Object.assign(new Error(`Postgres has not answered for ${Math.round(limit / 1_000)} s`), {
          code: "CONNECTION_CLOSED",
        }),
      );
  }
}
