/** Whether a text begins with one of these: found among thousands by halving, since no prefix begins with another. */
export function beginsWithOneOf(prefixes: readonly string[]): (text: string) => boolean {
  const sorted: string[] = [];
  for (const prefix of [...prefixes].sort()) {
    const before = sorted.at(-1);
    if (before === undefined || !prefix.startsWith(before)) sorted.push(prefix);
  }
  // All texts between a prefix and a text that begins with it do so too: it can only be the last one up to the text.
  return (text) => {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((sorted[middle] ?? "") <= text) from = middle + 1;
      else to = middle;
    }
    const last = sorted[from - 1];
    return last !== undefined && text.startsWith(last);
  };
}

export function endsWithOneOf(suffixes: readonly string[]): (text: string) => boolean {
  const [only, ...more] = suffixes;
  if (only !== undefined && more.length === 0) return (text) => text.endsWith(only);
  const longest = suffixes.reduce((length, suffix) => Math.max(length, suffix.length), 0);
  const begins = beginsWithOneOf(suffixes.map(reversed));
  return (text) => begins(reversed(text.slice(-longest)));
}

export function isOneOfIgnoringCase(texts: readonly string[]): (text: string) => boolean {
  const folded = new Set(texts.map((text) => text.toLowerCase()));
  return (text) => folded.has(text.toLowerCase());
}

/** By code units, as texts are compared. */
function reversed(text: string): string {
  return text.split("").toReversed().join("");
}
