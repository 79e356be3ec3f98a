import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";

import { SluiceError } from "@sluice/engine";
import type { Context } from "hono";

import type { ApiEnv } from "./environment.ts";

/** JSON around and inside 4 MiB of messages; what is above it is refused before it is read. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Far above any valid request, far below what would exhaust the stack of whatever walks the value. */
const MAX_DEPTH = 32;

/**
 * Reads and parses a JSON body, counting bytes as they arrive, whatever the request says of its length.
 * @throws {SluiceError} `unsupported_media_type`, `request_too_large`, `malformed_json`
 */
export async function readJson(c: Context<ApiEnv>): Promise<unknown> {
  const type = c.req.header("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new SluiceError(
      "unsupported_media_type",
      "send JSON with the header Content-Type: application/json",
    );
  }
  if (c.req.header("content-encoding") !== undefined) {
    throw new SluiceError(
      "unsupported_media_type",
      "compressed bodies are not accepted; send the JSON as it is",
    );
  }
  if (Number(c.req.header("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const bytes = c.env?.incoming
    ? await readIncoming(c.env.incoming)
    : Buffer.from(await c.req.arrayBuffer());
  if (bytes.length > MAX_BODY_BYTES) throw tooLarge();
  if (!isUtf8(bytes)) throw malformed("the body is not valid UTF-8");
  return parseJson(bytes.toString("utf8"));
}

async function readIncoming(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
}

function parseJson(text: string): unknown {
  checkDepth(text);
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

/** Refuses nesting that no request needs; brackets inside strings do not count. */
function checkDepth(text: string): void {
  let depth = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) {
      index = endOfString(text, index);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
      if (depth > MAX_DEPTH) throw malformed(`the body nests deeper than ${MAX_DEPTH} levels`);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1;
    }
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Where the string that begins at `start` ends; native searches skip its text. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

function isEscaped(text: string, quote: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}

function tooLarge(): SluiceError {
  return new SluiceError(
    "request_too_large",
    `the request is larger than ${MAX_BODY_BYTES} bytes; send fewer messages at once`,
  );
}

function malformed(message: string): SluiceError {
  return new SluiceError("malformed_json", message);
}
