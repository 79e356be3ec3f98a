import { expect, vi } from "vitest";

/** The JSON lines that a process has logged so far. */
export class LogLines {
  readonly all: Record<string, unknown>[] = [];

  /** Takes a line: to be given as `onLine`. */
  readonly add = (line: string): void => {
    if (line.startsWith("{")) this.all.push(JSON.parse(line) as Record<string, unknown>);
  };

  /** Waits for a line with these fields. */
  async has(fields: object): Promise<void> {
    const seen = () => expect(this.all).toContainEqual(expect.objectContaining(fields));
    await vi.waitFor(seen, { timeout: 60_000, interval: 20 });
  }
}
