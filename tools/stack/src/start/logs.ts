import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { parseLogLine } from "../process/service.ts";
import type { Console } from "./console.ts";

const SERIOUS = ["warn", "error", "fatal"];

/** One log file per process, begun anew by every start. What is serious is shown as well. */
export class Logs implements AsyncDisposable {
  readonly folder: string;
  readonly #console: Console;
  readonly #files = new Map<string, WriteStream>();

  private constructor(folder: string, console: Console) {
    this.folder = folder;
    this.#console = console;
  }

  static async open(dataDir: string, console: Console): Promise<Logs> {
    const folder = join(dataDir, "logs");
    await mkdir(folder, { recursive: true });
    return new Logs(folder, console);
  }

  write(name: string, line: string): void {
    let file = this.#files.get(name);
    if (!file) {
      file = createWriteStream(join(this.folder, `${name}.log`));
      // A full disk must not end what still works.
      file.on("error", () => {});
      this.#files.set(name, file);
    }
    file.write(`${line}\n`);
    const { level, message, err } = parseLogLine(line) ?? {};
    if (SERIOUS.includes(String(level)))
      this.#console.line(`${name}: ${withReason(String(message), err)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) {
      file.end();
      await finished(file).catch(() => {});
    }
  }
}

/** What a log line has of an error. */
interface Described {
  readonly message?: string;
  readonly cause?: Described;
}

/** The innermost cause says why: "No space left on device". */
function withReason(message: string, err: unknown): string {
  let reason = err as Described | undefined;
  while (reason?.cause) reason = reason.cause;
  const [why = ""] = reason?.message?.split("\n") ?? [];
  return message.includes(why) ? message : `${message}: ${why}`;
}
