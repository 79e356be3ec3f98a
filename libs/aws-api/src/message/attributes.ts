import type { MessageAttribute } from "@sluice/engine";

import type { AwsError } from "../errors.ts";
import type { AwsAttributeValue } from "../model/sqs.ts";

export type AwsAttributes = ReadonlyMap<string, AwsAttributeValue>;

const TYPE = /^(String|Number|Binary)(\.[ \S]{1,245})?$/;

/** How a service says what is wrong with attributes. */
export interface AttributeWords {
  refuse: (message: string) => AwsError;
  /** Of an attribute without a value. */
  empty: (name: string, type: string) => string;
}

/** Attributes as the engine has them. Names, and what a number is, the engine checks as well. */
export function attributesOf(
  attributes: AwsAttributes | undefined,
  words: AttributeWords,
): Record<string, MessageAttribute> | undefined {
  if (attributes === undefined || attributes.size === 0) return undefined;
  return Object.fromEntries(
    [...attributes].map(([name, value]) => [name, attributeOf(name, value, words)]),
  );
}

function attributeOf(
  name: string,
  { DataType: type, StringValue: text, BinaryValue: binary }: AwsAttributeValue,
  { refuse, empty }: AttributeWords,
): MessageAttribute {
  const shown = name.slice(0, 256);
  if (type === "") {
    throw refuse(
      `The message attribute '${shown}' must contain a non-empty message attribute type.`,
    );
  }
  if (!TYPE.test(type)) {
    throw refuse(
      `The message attribute '${shown}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.`,
    );
  }
  if (text !== undefined && binary !== undefined) {
    throw refuse(`Message attribute '${shown}' has multiple values.`);
  }
  const base = type.split(".", 1)[0] ?? type;
  const isBinary = base === "Binary";
  const value = isBinary ? binary : text;
  if (value === undefined && (isBinary ? text : binary) !== undefined) {
    throw refuse(
      `The message attribute '${shown}' with type '${base}' must use field '${isBinary ? "Binary" : "String"}'.`,
    );
  }
  if (value === undefined || value === "") throw refuse(empty(shown, base));
  return { type, value: isBinary ? Buffer.from(value, "base64").toString("base64") : value };
}

/** As AWS shows an attribute. */
export function awsAttribute({ type, value }: MessageAttribute): AwsAttributeValue {
  return type.startsWith("Binary")
    ? { BinaryValue: value, DataType: type }
    : { StringValue: value, DataType: type };
}
