import { readAnswer } from "./answer.ts";
import { callBack } from "./call-back.ts";
import { nameOf, noteCall } from "./call-name.ts";
import { SluiceError } from "./errors.ts";
import { isSluiceError, messageOf, safely, shown } from "./given.ts";
import { onAbort } from "./on-abort.ts";
import { invalidOption, refuseUnknown } from "./options.ts";
import type { OptionNames } from "./options.ts";
import { pause } from "./pause.ts";
import { retryDelay, retryPolicy } from "./retry.ts";
import type { RetryOptions, RetryPolicy } from "./retry.ts";
import { fetchTransport } from "./transport/fetch-transport.ts";
import { startTimer, stopwatch } from "./timer.ts";
import { nodeTransport } from "./transport/node-transport.ts";
import type { Transport, TransportRequest } from "./transport/transport.ts";

type HeaderFields = Readonly<Record<string, string>>;

/** Where the server is and how to talk to it. */
export interface ConnectOptions {
  /** The server's address, such as `http://127.0.0.1:4566`; a path in it is kept as a prefix. */
  readonly url: string | URL;
  /** Makes the calls, instead of undici, or of the global `fetch` where there is no Node. */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Sent with every call; a function is asked each time, for tokens that expire, and may take `timeoutMs` with the
   * call.
   */
  readonly headers?: HeaderFields | (() => HeaderFields | Promise<HeaderFields>);
  /**
   * How long one attempt may take, in milliseconds, beyond what a long poll waits; Infinity: as long as it likes.
   * Default 30,000.
   */
  readonly timeoutMs?: number;
  /**
   * How calls are repeated; false: never. By default attempts go on for 60 s, so a call ends within 90 s: also one to
   * an address at which nobody listens, and nothing is heard of that before, unless by {@link ConnectOptions.onRetry}.
   */
  readonly retry?: RetryOptions | false;
  /**
   * Told of each failed attempt of any call that will be repeated, and which one it was, from 1: for logs and metrics.
   * What it throws, or its promise rejects with, is written to the console and does no harm. Receives of consumers are
   * not among these calls: their `onError` is told.
   */
  readonly onRetry?: (error: SluiceError, attempt: number) => unknown;
}

const names: OptionNames<ConnectOptions> = {
  url: true,
  fetch: true,
  headers: true,
  timeoutMs: true,
  retry: true,
  onRetry: true,
};

/** One call of the HTTP API. */
export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Begins with `/`. */
  readonly path: string;
  /** What the program knows the call as, for errors: `admin.queues.get`. Default: its method and path alone. */
  readonly call?: string;
  /** Parameters that are undefined are left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Serialised as JSON; a string is taken to be JSON already. */
  readonly body?: unknown;
  /** 1 to 128 printable ASCII characters: the server stores a call and its repeats once. */
  readonly idempotencyKey?: string;
  /** What its answer has to have: one without it is not Sluice's, and `unexpected_response`. Default: nothing. */
  readonly field?: string | undefined;
  /** Gives up the call. An answer that has begun to arrive is still read to its end. */
  readonly signal?: AbortSignal | undefined;
  /** How long the server may hold the call back, in milliseconds, added to the timeout. Default 0. */
  readonly waitMs?: number;
  /** How long an attempt may take, instead of the connection's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /** How long the call has waited already, in milliseconds, out of the time in which it is repeated. Default 0. */
  readonly waitedMs?: number;
  /**
   * Whether the call may be repeated. Default: true, but a POST without an idempotency key is repeated only when the
   * connection was refused: then nobody has read it.
   */
  readonly retry?: boolean;
  /** Told of each failed attempt that will be repeated. */
  readonly onRetry?: (error: SluiceError, attempt: number) => void;
}

/**
 * Opens a connection: no I/O happens until the first call, and there is nothing to close.
 *
 * Throws `invalid_request` when an option is out of range or unknown.
 *
 * @example
 * ```ts
 * const connection = connect({ url: "http://127.0.0.1:4566" });
 * ```
 */
export function connect(options: ConnectOptions): Connection {
  return new Connection(options);
}

/** Throws `invalid_request` for what is no connection. For callers without types. */
export function assertConnection(connection: unknown): void {
  if (typeof (connection as Partial<Connection> | undefined)?.request === "function") return;
  throw invalidOption("connection", "expected what connect({ url }) returns");
}

/** A server's address with the way to call it; producers, consumers and the admin client share one. */
export class Connection {
  /** The server's address without a slash at its end. */
  readonly url: string;
  readonly #transport: Transport;
  readonly #headers: ConnectOptions["headers"];
  readonly #timeoutMs: number;
  readonly #retry: RetryPolicy | undefined;
  readonly #onRetry: ConnectOptions["onRetry"];

  constructor(options: ConnectOptions) {
    if (typeof options !== "object" || options === null || options instanceof URL)
      throw invalidOption("url", `expected { url: "http://..." }, got ${shown(options)}`);
    this.url = serverUrl(options.url);
    refuseUnknown(options, names);
    const node = options.fetch === undefined ? nodeTransport(this.url) : undefined;
    this.#transport = node ?? fetchTransport(this.url, options.fetch);
    this.#headers = options.headers;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#retry = options.retry === false ? undefined : retryPolicy(options.retry);
    this.#onRetry = options.onRetry;
    // Of text, as it comes out of an environment, "5000", a sum would be "500020000".
    if (!(typeof this.#timeoutMs === "number" && this.#timeoutMs > 0)) {
      const told = `expected milliseconds above 0, got ${shown(this.#timeoutMs)}`;
      throw invalidOption("timeoutMs", told);
    }
  }

  /** How long one attempt of a call may take, in milliseconds, beyond what a long poll waits. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** How long a call takes at most, in milliseconds: its last attempt begins with the end of the budget. */
  get callLimitMs(): number {
    return (this.#retry?.budgetMs ?? 0) + this.#timeoutMs;
  }

  /** Whether calls that failed for a reason that may pass are made again. */
  get repeats(): boolean {
    return (this.#retry?.budgetMs ?? 0) > 0;
  }

  /**
   * Makes one call of the HTTP API and returns its parsed JSON, undefined when the answer has none.
   *
   * Attempts that end in `network`, `timeout`, 429 or 5xx are repeated with full jitter and no sooner than
   * `Retry-After` allows, until `retry.budgetMs` has passed. Throws the {@link SluiceError} of the last attempt; its
   * `outcomeUnknown` is of all of them.
   */
  async request(request: ApiRequest): Promise<unknown> {
    const policy = this.#retry;
    const { waitedMs = 0 } = request;
    const elapsed = stopwatch();
    let open: SluiceError | undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(request);
      } catch (thrown) {
        if (!(thrown instanceof SluiceError)) throw thrown;
        noteCall(thrown, nameOf(request));
        const error = open === undefined ? thrown : afterOpen(open, thrown);
        if (!error.retryable) throw error;
        if (policy === undefined || !mayRepeat(request, error)) throw error;
        const delay = retryDelay(attempt, policy, error.retryAfterMs);
        if (waitedMs + elapsed() + delay > policy.budgetMs) throw error;
        if (error.outcomeUnknown && request.method !== "GET") open ??= error;
        request.onRetry?.(thrown, attempt);
        callBack("onRetry", () => this.#onRetry?.(thrown, attempt));
        await pause(delay, request.signal);
        // A process that stood still in it: by now the server may have forgotten the key of what it has stored.
        if (waitedMs + elapsed() > policy.budgetMs) throw error;
      }
    }
  }

  async #attempt(request: ApiRequest): Promise<unknown> {
    const { signal } = request;
    const label = nameOf(request);
    const limitMs = (request.timeoutMs ?? this.#timeoutMs) + (request.waitMs ?? 0);
    if (signal?.aborted) throw aborted(label, signal, { isSent: false });
    let end: (() => void) | undefined;
    let isSent = false;
    let givenUp: "timed out" | "aborted" | undefined;
    const giveUp = (why: "timed out" | "aborted") => {
      givenUp ??= why;
      end?.();
    };
    const timer = startTimer(() => giveUp("timed out"), limitMs);
    const leave = signal && onAbort(signal, () => giveUp("aborted"));
    try {
      let given = this.#headers;
      if (typeof given === "function") {
        const elapsed = stopwatch();
        given = await asked(given, { onGiveUp: (how) => (end = how) });
        // The timer knows nothing of it when they have held the process up, or the machine has slept meanwhile.
        if (elapsed() > limitMs) giveUp("timed out");
        // Between its answer and this line.
        if (givenUp !== undefined) throw new Error("The call was given up.");
      }
      isSent = true;
      const answer = await this.#transport(pathOf(request), {
        method: request.method,
        headers: headersOf(request, given),
        body: bodyOf(request, label),
        onGiveUp: (how) => (end = how),
        // From here on giving up would lose the outcome (and received messages with it).
        onAnswer: () => leave?.(),
      });
      return readAnswer(label, answer, request.field);
    } catch (cause) {
      if (isSluiceError(cause)) throw cause;
      if (givenUp === "timed out") throw timedOut(label, limitMs, { isSent, cause });
      if (givenUp === "aborted") throw aborted(label, signal, { isSent });
      if (invalid.has(codeOf(cause))) throw unsendable(label, cause);
      throw new SluiceError("network", `${label} at ${this.url} failed: ${reason(cause)}`, {
        cause,
        outcomeUnknown: codeOf(cause) !== refused,
      });
    } finally {
      clearTimeout(timer);
      leave?.();
    }
  }
}

/** Asks for the headers of a call, which are not waited for once it has been given up. */
function asked(
  headers: () => HeaderFields | Promise<HeaderFields>,
  { onGiveUp }: Pick<TransportRequest, "onGiveUp">,
): Promise<HeaderFields> {
  return new Promise((resolve, reject) => {
    onGiveUp(() => reject(new Error("The headers were not there in time.")));
    const had = (async () => headers())();
    had.then(resolve, (cause: unknown) => {
      // Most likely a token that could not be fetched: as passing as any other failure on the way.
      const told = `The headers could not be had: ${reason(cause)}`;
      reject(new SluiceError("network", told, { cause, outcomeUnknown: false }));
    });
  });
}

function headersOf(
  { body, idempotencyKey }: ApiRequest,
  given: HeaderFields | undefined,
): TransportRequest["headers"] {
  const headers: Record<string, string> = { accept: "application/json", ...given };
  if (idempotencyKey !== undefined) headers["idempotency-key"] = idempotencyKey;
  if (body !== undefined) headers["content-type"] = "application/json";
  return headers;
}

function bodyOf({ body }: ApiRequest, label: string): string | undefined {
  if (body === undefined || typeof body === "string") return body;
  try {
    return JSON.stringify(body);
  } catch (cause) {
    throw unsendable(label, cause);
  }
}

function unsendable(label: string, cause: unknown): SluiceError {
  return new SluiceError("invalid_request", `${label} cannot be sent: ${reason(cause)}`, { cause });
}

function pathOf({ path, query }: ApiRequest): string {
  if (query === undefined) return path;
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? path : `${path}?${parameters}`;
}

function mayRepeat({ method, retry, idempotencyKey }: ApiRequest, { cause }: SluiceError): boolean {
  return retry ?? (method !== "POST" || idempotencyKey !== undefined || codeOf(cause) === refused);
}

const refused = "ECONNREFUSED";
/** What undici says of a path or a header that HTTP does not allow. */
const invalid = new Set<unknown>(["UND_ERR_INVALID_ARG", "UND_ERR_NOT_SUPPORTED"]);

function timedOut(
  label: string,
  limitMs: number,
  { isSent, cause }: { isSent: boolean; cause: unknown },
): SluiceError {
  const told = isSent
    ? `${label} was not answered within ${limitMs} ms.`
    : `${label} was not sent: its headers were not there within ${limitMs} ms.`;
  return new SluiceError("timeout", told, { cause, outcomeUnknown: isSent });
}

function aborted(
  label: string,
  signal: AbortSignal | undefined,
  { isSent }: { isSent: boolean },
): SluiceError {
  return new SluiceError("aborted", `${label} was given up by the caller.`, {
    cause: signal?.reason,
    outcomeUnknown: isSent,
  });
}

/** What a later attempt was refused for says nothing of the one before it. */
function afterOpen(open: SluiceError, error: SluiceError): SluiceError {
  if (error.outcomeUnknown) return error;
  const { code, message, status, details, retryAfterMs, call, cause } = error;
  return new SluiceError(
    code,
    `${message} An attempt before it ended in ${open.code}: the call may have been carried out.`,
    { status, details, retryAfterMs, call, cause, outcomeUnknown: true },
  );
}

function serverUrl(url: string | URL): string {
  const given = String(url);
  const parsed = URL.canParse(given) ? new URL(given) : undefined;
  if (parsed?.username || parsed?.password) {
    const told = "expected no user name and no password in it: `headers` is for what authorizes";
    throw invalidOption("url", told);
  }
  if (parsed?.protocol !== "http:" && parsed?.protocol !== "https:") {
    throw invalidOption("url", `expected an http or https address, got "${given}"`);
  }
  if (parsed.search !== "" || parsed.hash !== "")
    throw invalidOption("url", "expected neither a query nor a fragment in it");
  return (parsed.origin + parsed.pathname).replace(/\/+$/, "");
}

/** The message alone may say nothing: `fetch failed`, or of several addresses that were tried nothing at all. */
function reason(error: unknown): string {
  const message = messageOf(error) ?? "";
  const detail = codeOf(error) ?? safely(() => (error as { cause: Error }).cause.message);
  if (typeof detail !== "string" || message.includes(detail))
    return message || "it is not said why";
  return message === "" ? detail : `${message} (${detail})`;
}

/** The system's code of what went wrong; `fetch` wraps the error that has it. */
function codeOf(error: unknown): unknown {
  return safely(() => {
    const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
    return cause?.code ?? code;
  });
}
