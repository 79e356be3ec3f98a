import { services, type DemoResult, type QueueResult } from "../measure/result.ts";

/** The result as a table of at most 80 columns. */
export function resultTable({ published, queues }: DemoResult): string[] {
  const header = ["", "received", "redelivered", "distinct", "bytes", "SHA-256", "p50", "p99"];
  const rows = services.map((name) => [name, ...queueCells(queues[name])]);
  return aligned([header, publishedCells(published), ...rows]);
}

function publishedCells({ messages, bytes, sha256 }: DemoResult["published"]): string[] {
  return ["published", "", "", grouped(messages), grouped(bytes), short(sha256), "", ""];
}

function queueCells(queue: QueueResult): string[] {
  const { received, redelivered, distinct, bytes, sha256, latencyMs } = queue;
  return [
    ...[received, redelivered, distinct, bytes].map(grouped),
    short(sha256),
    duration(latencyMs.p50),
    duration(latencyMs.p99),
  ];
}

/** The first column to the left, the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join("  ")
      .trimEnd(),
  );
}

/** 3,252,799 */
export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

/** As Git shortens its own. */
function short(sha256: string): string {
  return sha256.slice(0, 7);
}

/** `3.1 ms`, `345 ms`, `12.3 s` */
function duration(ms: number): string {
  if (ms >= 999.5) return `${(ms / 1_000).toFixed(1)} s`;
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
