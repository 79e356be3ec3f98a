import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, realpath, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { StackError } from "../stack-error.ts";
import { shortPath } from "./console.ts";

/** It is a matter of milliseconds, unless the machine is busy: only who does not answer at all is to go unnamed. */
const ANSWER_MS = 10_000;

/**
 * Keeps everybody else off a data folder for as long as this process lives or until it is disposed, so also while there
 * is no server yet that would: two that begin at once would make their clusters over one another.
 *
 * It is a socket that listens under a name made of the folder's: only one process at a time can, the system takes it
 * away from one that dies, and it can be asked who it is. A file would be left behind by a `kill -9`, and two that both
 * find it stale would both take it.
 *
 * @throws StackError `already_running`, with the pid of who has it.
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  await mkdir(folder, { recursive: true });
  const address = addressOf(await realpath(folder));
  const server = (await listen(address)) ?? (await listenInstead(address));
  if (!server) throw alreadyRunning(folder, await holderOf(address));
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

/** On Linux a name without a file, on Windows that of a pipe; elsewhere a file. */
function addressOf(folder: string): string {
  const name = `sluice-${createHash("sha256").update(folder).digest("hex").slice(0, 24)}`;
  if (process.platform === "linux") return `\0${name}`;
  return process.platform === "win32" ? `\\\\.\\pipe\\${name}` : join(tmpdir(), name);
}

/** Undefined where somebody else has the address. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`${process.pid}\n`);
    });
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(path, () => resolve(server));
  });
}

/** Where the address is a file, a process that was killed has left it behind. */
async function listenInstead(path: string): Promise<Server | undefined> {
  if (process.platform === "linux" || process.platform === "win32") return undefined;
  const socket = connect(path);
  const answers = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  if (answers) return undefined;
  await rm(path, { force: true });
  return listen(path);
}

/** The pid of who listens there; undefined when it does not say, as one that is stopped. */
async function holderOf(path: string): Promise<number | undefined> {
  const socket = connect(path);
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  const answer = await text(socket).catch(() => "");
  return Number.parseInt(answer, 10) || undefined;
}

function alreadyRunning(folder: string, pid: number | undefined): StackError {
  const who = pid === undefined ? "that does not answer" : `(pid ${pid})`;
  return new StackError(
    "already_running",
    `Another npm start or npm run reset ${who} works on ${shortPath(folder)}.`,
    {
      hint: "Stop it (Ctrl-C there), or set SLUICE_DATA_DIR to another folder.",
    },
  );
}
