// Comments are for reading: none of their lines is wider than 120 columns. Left out are tables, pictures and code in
// them, and what cannot be broken.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const WIDTH = 120;

const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.ts", "*.mjs"])
  .toString()
  .split("\n")
  .filter((file) => file !== "");
const found = files.flatMap((file) =>
  commentLines(readFileSync(file, "utf8").split("\n"))
    .filter(({ text }) => text.length > WIDTH && !isDrawn(text))
    .map(({ number, text }) => `${file}:${number}: ${text.length} columns`),
);
if (found.length > 0) {
  console.log(`${found.join("\n")}\nComments wider than ${WIDTH} columns: break them.`);
  process.exitCode = 1;
}

/** Lines that hold nothing but a comment. */
function commentLines(lines) {
  let isInside = false;
  const comments = [];
  for (const [index, text] of lines.entries()) {
    if (/^\s*\/\*\*/.test(text)) isInside = true;
    if (isInside || /^\s*\/\/ /.test(text)) comments.push({ number: index + 1, text });
    if (text.includes("*/")) isInside = false;
  }
  return comments;
}

/** Indented by four more than text is, or a row of a table. */
function isDrawn(text) {
  const content = text.replace(/^\s*(?:\*|\/\/) ?/, "");
  return /^(?:\s{4}|\s*\|)/.test(content) || !/\S\s+\S/.test(content);
}
