import { relative, isAbsolute } from "node:path";
import { PROJECT_FOLDER } from "../folders.ts";
import type { Progress } from "../progress.ts";
import { StackError } from "../stack-error.ts";

/** What tools/start.mjs hands over. */
export interface StartContext {
  env: NodeJS.ProcessEnv;
  progress: Console;
  /** When the command was given, in ms since the epoch. */
  startedAt: number;
}

/** The terminal, or whatever stands for it. */
export interface Console extends Progress {
  line(text: string): void;
  /** For what went wrong. */
  alarm(text: string): void;
}

/** Says what went wrong, what the program concerned said last, and what to do next. */
export function tellError(console: Console, error: unknown): void {
  if (error instanceof StackError) {
    console.alarm(error.message);
    for (const line of error.output) console.line(`  ${line}`);
    if (error.hint) console.line(error.hint);
  } else if (isDenied(error)) {
    console.alarm(error.message);
    console.line(
      "Was an earlier start by another user? Start as that user, run npm run reset as that user,",
    );
    console.line("or set SLUICE_DATA_DIR to a folder of your own.");
  } else if (isOfFiles(error)) {
    console.alarm(error.message);
    console.line("Is there room on that disk, and may it be written? SLUICE_DATA_DIR sets another");
    console.line("folder for the data.");
  } else {
    console.alarm(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

function isDenied(error: unknown): error is Error {
  const { code } = error as NodeJS.ErrnoException;
  return error instanceof Error && (code === "EACCES" || code === "EPERM");
}

/** A file or folder that cannot be made or written: a full or read-only disk, a file where a folder is to be. */
function isOfFiles(error: unknown): error is Error {
  return error instanceof Error && "path" in error && "syscall" in error;
}

/** A path as the developer knows it: relative to the project where it lies inside. */
export function shortPath(path: string): string {
  const inside = relative(PROJECT_FOLDER, path);
  return inside.startsWith("..") || isAbsolute(inside) ? path : inside;
}
