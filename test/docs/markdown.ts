import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The top folder of the project. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Page {
  /** From the top folder: `docs/errors.md`. */
  path: string;
  text: string;
}

/** Every Markdown page of the project. */
export function pages(): Page[] {
  return markdownFiles(".").map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

function markdownFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return isOurs(entry.name) ? markdownFiles(path) : [];
    return entry.name.endsWith(".md") ? [path] : [];
  });
}

function isOurs(folder: string): boolean {
  return !folder.startsWith(".") && !["node_modules", "dist", "coverage"].includes(folder);
}

/** The fenced blocks of a page in one language. */
export function codeBlocks({ text }: Page, language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm");
  return [...text.matchAll(fence)].map((match) => match[1] ?? "");
}

/** Links to files of the project, from the top folder, with their anchors. */
export function fileLinks({ path, text }: Page): { target: string; anchor: string | undefined }[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? "")
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [file = "", anchor] = link.split("#");
      return { target: file === "" ? path : join(dirname(path), file), anchor };
    });
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchors({ text }: Page): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** The first cells of all table rows that are one `code` word. */
export function codesInTables({ text }: Page): string[] {
  return [...text.matchAll(/^\| +(`[^|]*`) +\|/gm)].flatMap((match) =>
    [...(match[1] ?? "").matchAll(/`([^`]+)`/g)].map((code) => code[1] ?? ""),
  );
}
