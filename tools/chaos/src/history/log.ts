import { closeSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { silent, type Progress } from "../check/progress.ts";
import type { Call, CallOf, OperationName, Operations } from "./history.ts";
import { linesOf } from "./lines.ts";

/** A line of a client's log. */
type Entry =
  | {
      type: "invoke";
      call: number;
      at: number;
      operation: OperationName;
      request: Operations[OperationName]["request"];
    }
  | { type: "ok"; call: number; at: number; response: Operations[OperationName]["response"] }
  | { type: "fail" | "info"; call: number; at: number; reason: string };

/**
 * The history of one client process, one JSON object a line. A call is written down before it is made and each line is
 * written at once, so that a client that is killed leaves a true history: calls without an end.
 */
export class ClientLog {
  readonly #file: number;
  #calls = 0;

  constructor(folder: string, client: string) {
    this.#file = openSync(join(folder, `${client}.jsonl`), "w");
  }

  invoke<Name extends OperationName>(
    operation: Name,
    request: Operations[Name]["request"],
  ): number {
    this.#calls += 1;
    this.#write({ type: "invoke", call: this.#calls, at: now(), operation, request });
    return this.#calls;
  }

  ok(call: number, response: Operations[OperationName]["response"]): void {
    this.#write({ type: "ok", call, at: now(), response });
  }

  /** Refused: it had no effect. */
  fail(call: number, reason: string): void {
    this.#write({ type: "fail", call, at: now(), reason });
  }

  /** Nobody knows whether it had an effect. */
  info(call: number, reason: string): void {
    this.#write({ type: "info", call, at: now(), reason });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

/** Nanoseconds of CLOCK_MONOTONIC. */
export function now(): number {
  return Number(process.hrtime.bigint());
}

/**
 * Reads the logs of all clients of a run, call by call: all at once they take more memory than what is learnt from
 * them.
 */
export function* readCalls(folder: string, progress: Progress = silent): Generator<Call> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const size = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  const known = new Strings();
  let read = 0;
  const onRead = (bytes: number) => progress.at((read += bytes) / size);
  progress.begin("reading the histories");
  for (const name of names)
    yield* readLog(linesOf(join(folder, name), onRead), { client: name.slice(0, -6), known });
}

/**
 * The calls of one log, as they end; those without an end come last.
 *
 * @throws when a line ends a call that never began, or ends it twice.
 */
export function* readLog(
  lines: Iterable<string>,
  { client, known = new Strings() }: { client: string; known?: Strings },
): Generator<Call> {
  const open = new Map<number, CallOf<OperationName>>();
  for (const line of lines) {
    const entry = JSON.parse(line) as Entry;
    if (entry.type === "invoke") {
      const { operation, request, at } = entry;
      open.set(entry.call, {
        operation,
        client,
        begin: at,
        end: Infinity,
        outcome: "unknown",
        request,
        response: undefined,
      });
      continue;
    }
    const call = open.get(entry.call) as Call | undefined;
    if (call === undefined) {
      throw new Error(`${client}: call ${entry.call} ends without a beginning, or twice`);
    }
    open.delete(entry.call);
    finish(call, entry);
    yield known.shared(call);
  }
  for (const call of open.values()) yield known.shared(call as Call);
}

function finish(call: CallOf<OperationName>, entry: Exclude<Entry, { type: "invoke" }>): void {
  if (entry.type === "info") return;
  call.outcome = entry.type;
  call.end = entry.at;
  if (entry.type === "ok") call.response = entry.response;
}

/**
 * One copy of what each message repeats: a message is received in many queues, and `JSON.parse` makes all strings anew.
 */
class Strings {
  readonly #known = new Map<string, string>();

  /** The same call; what it says again is what was said before. */
  shared(call: Call): Call {
    if (call.operation === "publish" || call.operation === "send") {
      for (const message of call.request.messages) this.#share(message);
    } else if (call.operation === "receive") {
      for (const message of call.response ?? []) {
        this.#share(message);
        message.id = this.#one(message.id);
      }
    }
    return call;
  }

  #share(message: { value: string; digest: string }): void {
    message.value = this.#one(message.value);
    message.digest = this.#one(message.digest);
  }

  #one(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    this.#known.set(text, text);
    return text;
  }
}
