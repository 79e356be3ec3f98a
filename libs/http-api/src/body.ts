import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";

import { SluiceError } from "@sluice/engine";

import type { Call } from "./environment.ts";
import { checkShape } from "./json-shape.ts";

/** JSON around and inside 4 MiB of messages; what is above it is refused before it is read. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Bytes of bodies that may be on their way in a process: as many connections as there may be could bring 160 GB. */
const MAX_UNDER_WAY = 256 * 1024 * 1024;
/** What is no larger is always read, and does not count: with 4,000 of them one client could have all else refused. */
const SMALL = 64 * 1024;
/** Pieces of a body that are kept before they are made one. A body of 16 MiB has 256 as a rule. */
const MAX_PIECES = 1_000;

/** A body on its way. */
interface Arriving {
  account: string;
  /** What has come of it. */
  length: number;
  refuse: (error: SluiceError) => void;
}

/** Those that count. Of all servers of this process: they share its memory. */
const arriving = new Set<Arriving>();
let underWay = 0;

/**
 * Reads and parses a JSON body, counting bytes as they arrive, whatever the request says of its length.
 * @throws {SluiceError} `unsupported_media_type`, `request_too_large`, `too_many_requests`, `malformed_json`,
 * `invalid_request`
 */
export async function readJson(c: Call): Promise<unknown> {
  const type = c.req.header("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new SluiceError(
      "unsupported_media_type",
      "send JSON with the header Content-Type: application/json",
    );
  }
  return parseJson(textOf(await readBody(c)));
}

/**
 * Reads a body, counting bytes as they arrive, whatever the request says of its length.
 * @param account - Who is said to have sent it.
 * @throws {SluiceError} `unsupported_media_type`, `request_too_large`, `too_many_requests`, `malformed_json`
 */
export async function readBody(c: Call, account = c.var.account): Promise<Buffer> {
  if (c.req.header("content-encoding") !== undefined) {
    throw new SluiceError(
      "unsupported_media_type",
      "compressed bodies are not accepted; send the body as it is",
    );
  }
  if (Number(c.req.header("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  if (c.env?.incoming) return await readIncoming(c.env.incoming, account);
  const bytes = Buffer.from((await c.req.raw?.arrayBuffer()) ?? new ArrayBuffer(0));
  if (bytes.length > MAX_BODY_BYTES) throw tooLarge();
  return bytes;
}

/** @throws {SluiceError} `malformed_json` for what is no text */
export function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw malformed("the body is not valid UTF-8");
  return bytes.toString("utf8");
}

/**
 * By listeners: an async iterator takes 5 µs more for a small body, and keeps its machinery for as long as a poll
 * waits.
 */
function readIncoming(incoming: IncomingMessage, account: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let joined = 0;
    let settle: { resolve: typeof resolve; reject: typeof reject } | undefined = {
      resolve,
      reject,
    };
    // The listeners live as long as the request does, which is twenty seconds where it is a long poll; and who can
    // settle a promise keeps what it was resolved with.
    const forget = () => {
      if (arriving.delete(body)) underWay -= body.length;
      chunks.length = 0;
      settle = undefined;
    };
    const refuse = (error: SluiceError) => {
      // The rest comes and is thrown away: who reads the answer only after it would hang, and hold its connection. What
      // never ends is cut off, by Hono where its length is not known, else by the time that Node gives a request.
      incoming.off("data", take).resume();
      settle?.reject(error);
      forget();
    };
    const body: Arriving = { account, length: 0, refuse };
    const close = () => {
      // Errors are dear: of those that nobody hears of none is made.
      settle?.reject(malformed("the connection ended before the body did"));
      forget();
    };
    if (incoming.destroyed) close();
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      // Each takes 300 bytes more than it has: 16 MiB that come in chunks of a byte would end the process.
      if (chunks.length - joined === MAX_PIECES) {
        chunks.push(Buffer.concat(chunks.splice(joined)));
        joined += 1;
      }
      body.length += chunk.length;
      if (body.length <= SMALL) return;
      underWay += arriving.has(body) ? chunk.length : body.length;
      arriving.add(body);
      if (body.length > MAX_BODY_BYTES) refuse(tooLarge());
      else if (underWay > MAX_UNDER_WAY) whoGivesWay(body).refuse(tooMuchUnderWay());
    };
    incoming.on("data", take);
    incoming.on("end", () => {
      const [only] = chunks;
      settle?.resolve(chunks.length === 1 && only ? only : Buffer.concat(chunks, body.length));
      forget();
    });
    incoming.on("close", close);
  });
}

/**
 * The body that is refused when there is no room for another piece: one of the account that holds most, so that none
 * can take all the room and have the others refused. Of that account it is the one that asks, else its largest.
 */
function whoGivesWay(asking: Arriving): Arriving {
  const held = new Map<string, number>();
  for (const { account, length } of arriving) held.set(account, (held.get(account) ?? 0) + length);
  const most = Math.max(...held.values());
  if (held.get(asking.account) === most) return asking;
  const all = [...arriving].filter(({ account }) => held.get(account) === most);
  return all.sort((a, b) => b.length - a.length)[0] ?? asking;
}

/** @throws {SluiceError} `malformed_json`, `invalid_request`; see checkShape */
export function parseJson(text: string): unknown {
  checkShape(text);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // The parser quotes the input; how far it got is all that helps.
    const position = /position (\d+)/.exec((error as Error).message)?.[1];
    throw malformed(
      `the body is not valid JSON${position === undefined ? "" : ` (at character ${position})`}`,
    );
  }
}

function tooLarge(): SluiceError {
  return new SluiceError(
    "request_too_large",
    `the request is larger than ${MAX_BODY_BYTES} bytes; send fewer messages at once`,
  );
}

function tooMuchUnderWay(): SluiceError {
  return new SluiceError(
    "too_many_requests",
    "more is being sent than this server has room for; retry later, or send less at once",
  );
}

function malformed(message: string): SluiceError {
  return new SluiceError("malformed_json", message);
}
