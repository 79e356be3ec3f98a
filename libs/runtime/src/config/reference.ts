import type { ConfigSchema } from "./read-config.ts";
import type { Variable } from "./variable.ts";

/** The table of docs/configuration.md: every variable of these processes once, and which process reads it. */
export function configReference(processes: Readonly<Record<string, ConfigSchema>>): string {
  const readers = new Map<Variable<unknown>, string[]>();
  for (const [process, schema] of Object.entries(processes)) {
    for (const variable of Object.values(schema)) {
      readers.set(variable, [...(readers.get(variable) ?? []), process]);
    }
  }
  const rows = [...readers].map(([variable, names]) => [
    `\`${variable.name}\``,
    variable.default === undefined ? "required" : `\`${variable.default}\``,
    variable.unit ?? "",
    variable.expected,
    names.length === Object.keys(processes).length ? "all" : names.join(", "),
    variable.description,
  ]);
  return table(["Variable", "Default", "Unit", "Value", "Read by", "Meaning"], rows);
}

/** Columns are padded as Prettier pads them, so that the formatter and the generator agree about the file. */
function table(head: string[], rows: string[][]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
