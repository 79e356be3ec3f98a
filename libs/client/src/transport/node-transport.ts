import type { Answer } from "../answer.ts";
import type { Transport, TransportRequest } from "./transport.ts";

/**
 * Calls by undici, the HTTP client that Node's `fetch` is made of; undefined where this is not Node, or undici is not
 * there.
 *
 * What a small call costs the process, in µs of CPU with 32 under way on Node 20: 18 by undici's `dispatch`, 29 by
 * `node:http`, 229 by `fetch`. Under the load of `npm run bench -- small` a receive of ten costs the consumer 205 µs
 * instead of 255 with `node:http`.
 *
 * It is asked for at run time and not imported, so that this package needs neither Node's types nor a bundler's special
 * treatment: a bundle that runs without `node_modules` calls by `fetch`, and so does one that finds another undici
 * there than this package's own.
 */
export function nodeTransport(url: string): Transport | undefined {
  const Pool = poolClass();
  if (Pool === undefined) return undefined;
  const { origin, pathname } = new URL(url);
  const prefix = pathname.replace(/\/+$/, "");
  const pool = pools.get(origin) ?? new Pool(origin, options);
  pools.set(origin, pool);
  return async (path, request) => new Attempt(request).make(pool, prefix + path);
}

/** One an origin for all connections of a process: as many sockets as calls are under way, kept for the next ones. */
const pools = new Map<string, Pool>();

const options = {
  connections: null,
  // Each call has its socket for itself: a long poll would keep those behind it waiting.
  pipelining: 1,
  // How long an idle socket is kept, whatever longer the server allows: a request on its way as it lets go of its
  // socket is lost.
  keepAliveTimeout: 4_000,
  keepAliveMaxTimeout: 4_000,
  // The connection has limits of its own, which know how long a long poll waits.
  connectTimeout: 0,
  headersTimeout: 0,
  bodyTimeout: 0,
};

let found: PoolClass | null | undefined;
let isAscii: IsAscii | undefined;

/** Only the pool is asked for: all of undici takes 50 ms to load, that 18. */
function poolClass(): PoolClass | undefined {
  if (found === undefined) {
    try {
      found = load() ?? null;
    } catch {
      found = null;
    }
  }
  return found ?? undefined;
}

function load(): PoolClass | undefined {
  const { process } = globalThis as { process?: NodeProcess };
  // Others that pass for Node have a `fetch` that is the native way there.
  if (process?.versions?.["bun"] || process?.versions?.["deno"]) return undefined;
  isAscii = (process?.getBuiltinModule?.("node:buffer") as BufferModule | undefined)?.isAscii;
  const module = process?.getBuiltinModule?.("node:module") as NodeModule | undefined;
  const require = module?.createRequire(import.meta.url);
  // Beside a bundle there may be that of somebody else. Those before 7 take handlers of another kind.
  const { version } = (require?.("undici/package.json") ?? {}) as { version?: string };
  return version?.startsWith("7.")
    ? (require?.("undici/lib/dispatcher/pool.js") as PoolClass)
    : undefined;
}

interface NodeProcess {
  versions?: Record<string, string | undefined>;
  /** Node 20.16 and 22.3. */
  getBuiltinModule?: (name: string) => unknown;
}

interface BufferModule {
  isAscii?: IsAscii;
}

type IsAscii = (bytes: Uint8Array) => boolean;

interface NodeModule {
  createRequire: (url: string) => (name: string) => unknown;
}

/**
 * One exchange, which may be given up at any time: before its socket is there it has not been sent, and then it never
 * is.
 */
class Attempt implements Handler {
  readonly #request: TransportRequest;
  readonly #chunks: NodeBuffer[] = [];
  #controller: Controller | undefined;
  #givenUp: Error | undefined;
  #status = 0;
  #retryAfter: string | null = null;
  #resolve: (answer: Answer) => void = () => {};
  #reject: (error: Error) => void = () => {};

  constructor(request: TransportRequest) {
    this.#request = request;
    request.onGiveUp(() => {
      this.#givenUp = new Error("The call was given up.");
      this.#controller?.abort(this.#givenUp);
      this.#reject(this.#givenUp);
    });
  }

  make(pool: Pool, path: string): Promise<Answer> {
    const { method, headers, body } = this.#request;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      pool.dispatch({ path, method, headers, body }, this);
    });
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#givenUp !== undefined) controller.abort(this.#givenUp);
  }

  onResponseStart(_: Controller, status: number, headers: ResponseHeaders): void {
    // Not the answer yet, but what a proxy says before it.
    if (status < 200) return;
    this.#status = status;
    this.#retryAfter = headers["retry-after"]?.toString() ?? null;
    this.#request.onAnswer();
  }

  onResponseData(_: Controller, chunk: NodeBuffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const text = textOf(this.#chunks);
    this.#resolve({ status: this.#status, retryAfter: this.#retryAfter, text });
  }

  onResponseError(_: Controller, error: Error): void {
    this.#reject(error);
  }
}

/**
 * Most answers are ASCII, of which a text is a copy: with the parser behind it 1,000 messages of 256 bytes take 490 µs,
 * where decoding UTF-8 makes them 660.
 */
function textOf(chunks: readonly NodeBuffer[]): string {
  if (isAscii && chunks.every(isAscii))
    return chunks.map((chunk) => chunk.toString("latin1")).join("");
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return String(only);
  const decoder = new TextDecoder();
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode();
}

/** What is used of undici. */
type PoolClass = new (origin: string, options: object) => Pool;

interface Pool {
  dispatch(request: object, handler: Handler): void;
}

interface Handler {
  onRequestStart(controller: Controller): void;
  onResponseStart(controller: Controller, status: number, headers: ResponseHeaders): void;
  onResponseData(controller: Controller, chunk: NodeBuffer): void;
  onResponseEnd(): void;
  onResponseError(controller: Controller, error: Error): void;
}

type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

interface Controller {
  abort(reason: Error): void;
}

/** Its text is what it says as UTF-8, unless another encoding is asked for. */
type NodeBuffer = Uint8Array & { toString(encoding?: "latin1"): string };
