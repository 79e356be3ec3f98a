import { closeSync, openSync, readSync } from "node:fs";

const CHUNK = 1 << 20;

/**
 * The lines of a file, one after the other: a history has hundreds of megabytes. What follows the last line break is
 * left out: a killed client was writing it.
 *
 * @param onRead told of bytes that were read
 */
export function* linesOf(file: string, onRead: (bytes: number) => void): Generator<string> {
  const descriptor = openSync(file, "r");
  try {
    let rest = Buffer.alloc(0);
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK);
      const length = readSync(descriptor, chunk);
      if (length === 0) return;
      const text = Buffer.concat([rest, chunk.subarray(0, length)]);
      let from = 0;
      for (let to = text.indexOf(10); to >= 0; to = text.indexOf(10, from)) {
        yield text.toString("utf8", from, to);
        from = to + 1;
      }
      rest = text.subarray(from);
      onRead(length);
    }
  } finally {
    closeSync(descriptor);
  }
}
