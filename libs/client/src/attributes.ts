import { SluiceError } from "./errors.ts";
import { shown } from "./given.ts";

/**
 * An attribute as the API has it: `String`, `Number` or `Binary` with an optional `.label`; binary values in base64.
 */
export interface WireAttribute {
  /** `String`, `Number` or `Binary`, and a label where there is one: `Number.eur`. */
  readonly type: string;
  /** As text; that of a `Binary` in base64. */
  readonly value: string;
}

/** Attributes by name, as the API has them. */
export type WireAttributes = Readonly<Record<string, WireAttribute>>;

/** An attribute's value as read: Number attributes are numbers, Binary ones are bytes. */
export type AttributeValue = string | number | Uint8Array;

/** Up to 10 attributes; the short forms become `String`, `Number` and `Binary`, the long form can carry a label. */
export type AttributesInput = Readonly<Record<string, AttributeValue | bigint | WireAttribute>>;

/**
 * Throws `invalid_attribute` for a value that no attribute type can carry.
 *
 * @param of - How errors call the message whose attributes they are, such as `payloads.3`. Default: not at all.
 */
export function encodeAttributes(attributes: AttributesInput, of?: string): WireAttributes {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return ownEntries(given.map(([name, value]) => [name, encodeAttribute(value, { name, of })]));
}

export function decodeAttributes(wire: WireAttributes): Record<string, AttributeValue> {
  return ownEntries(
    Object.entries(wire).map(([name, attribute]) => [name, decodeAttribute(attribute)]),
  );
}

/** Not by assignment: that of `__proto__`, a name like any other, is none. */
function ownEntries<Value>(entries: [string, Value][]): Record<string, Value> {
  return Object.fromEntries(entries);
}

function encodeAttribute(
  value: AttributesInput[string],
  { name, of }: { name: string; of: string | undefined },
): WireAttribute {
  if (typeof value === "string") return { type: "String", value };
  if (typeof value === "bigint" || isFiniteNumber(value)) {
    return { type: "Number", value: String(value) };
  }
  if (value instanceof Uint8Array) return { type: "Binary", value: toBase64(value) };
  if (isWireAttribute(value)) return value;
  const message = `expected a string, a finite number, bytes or {type, value}, got ${shown(value)}`;
  const [told, at] = of === undefined ? ["", ""] : [` of ${of}`, `${of}.`];
  throw new SluiceError("invalid_attribute", `Attribute ${name}${told}: ${message}.`, {
    details: [{ path: `${at}attributes.${name}`, message }],
  });
}

function isFiniteNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isWireAttribute(value: unknown): value is WireAttribute {
  const attribute = value as Partial<WireAttribute> | null;
  return typeof attribute?.type === "string" && typeof attribute.value === "string";
}

function decodeAttribute({ type, value }: WireAttribute): AttributeValue {
  if (isOfType(type, "Number")) return Number(value);
  return isOfType(type, "Binary") ? fromBase64(value) : value;
}

function isOfType(type: string, base: string): boolean {
  return type === base || type.startsWith(`${base}.`);
}

// btoa and atob: the only base64 that Node 20, Bun and browsers share.
function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
