import type { Shape, StructureShape } from "../model/shape.ts";

// What XML 1.0 cannot carry, however it is escaped.
// oxlint-disable-next-line no-control-regex -- control characters are the very thing to find
const FORBIDDEN = /[^\u0009\u000A\u000D\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;
const SPECIAL = /[&<>"'\r\n\t]/g;
const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  // A parser turns a bare one into a line feed.
  "\r": "&#xD;",
  "\n": "&#xA;",
  "\t": "&#x9;",
};

/**
 * Text for inside an element. What XML cannot carry becomes U+FFFD: only our own messages can have it, bodies cannot.
 */
export function escapeXml(text: string): string {
  return text
    .replaceAll(FORBIDDEN, "\uFFFD")
    .replaceAll(SPECIAL, (character) => ESCAPES[character] ?? "");
}

/** The members of an output, each as elements; absent ones are left out. */
export function xmlOf(shape: StructureShape, value: object): string {
  let xml = "";
  for (const { name, shape: member } of shape.members) {
    const of: unknown = (value as Record<string, unknown>)[name];
    if (of !== undefined && of !== null) xml += memberXml(name, member, of);
  }
  return xml;
}

function memberXml(name: string, shape: Shape, value: unknown): string {
  if (typeof shape === "string") return element(name, escapeXml(String(value)));
  switch (shape.kind) {
    case "structure":
      return element(name, xmlOf(shape, value as object));
    case "list": {
      const { entryName } = shape;
      const entries = (value as unknown[]).map((entry) =>
        memberXml(entryName ?? "member", shape.of, entry),
      );
      return entryName === undefined ? element(name, entries.join("")) : entries.join("");
    }
    case "map": {
      const { entryName, keyName, valueName } = shape;
      const entries = Object.entries(value as object).map(([key, of]) =>
        element(
          entryName ?? "entry",
          element(keyName, escapeXml(key)) + memberXml(valueName, shape.of, of),
        ),
      );
      return entryName === undefined ? element(name, entries.join("")) : entries.join("");
    }
    default:
      return shape satisfies never;
  }
}

export function element(name: string, content: string): string {
  return `<${name}>${content}</${name}>`;
}
