export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly total: number;
  readonly note?: string;
}

/** A bar a line, all as wide as the terminal allows: `slow  ██████░░░░  120/329  6 redelivered`. */
export function barLines(bars: readonly Bar[], columns: number): string[] {
  const nameWidth = Math.max(...bars.map(({ name }) => name.length));
  // As wide as it will get, so that nothing moves while it counts.
  const countWidth = Math.max(...bars.map(({ total }) => count({ value: total, total }).length));
  const noteWidth = 18;
  const width = Math.min(40, columns - 1 - nameWidth - countWidth - noteWidth - 6);
  return bars.map((bar) => {
    const { name, note = "" } = bar;
    const parts = [name.padEnd(nameWidth), count(bar).padStart(countWidth), note];
    if (width >= 5) parts.splice(1, 0, blocks(bar, width));
    return parts.join("  ").trimEnd();
  });
}

/** The same in one line: `published 329/329, audit 329/329, …`. */
export function barSentence(bars: readonly Bar[]): string {
  return bars
    .map((bar) => `${bar.name} ${count(bar)}${bar.note ? ` (${bar.note})` : ""}`)
    .join(", ");
}

function count({ value, total }: Pick<Bar, "value" | "total">): string {
  return `${value}/${total}`;
}

function blocks({ value, total }: Bar, width: number): string {
  const filled = total === 0 ? 0 : Math.floor((width * Math.min(value, total)) / total);
  return "█".repeat(filled) + "░".repeat(width - filled);
}
