/** AWS reads true and false in any case, and shows them in small letters: Python and C# write `True`. */
export function plainBoolean(text: string): string {
  return /^(true|false)$/i.test(text) ? text.toLowerCase() : text;
}
