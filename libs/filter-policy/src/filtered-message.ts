import { isScalar, type Scalar } from "./scalar.ts";

/** A message as it was published; attributes may be an object of any prototype, as JSON.parse makes them. */
export interface FilterableMessage {
  body: string;
  attributes: Readonly<Record<string, { type: string; value: string }>>;
}

/** Stands for a body that is no JSON object: no policy on bodies accepts it. */
const NO_OBJECT = Symbol("no object");

/** A message for any number of policies: its body and its attributes are read once, by the first policy that asks. */
export class FilteredMessage {
  readonly #message: FilterableMessage;
  #attributes: Map<string, readonly Scalar[]> | undefined;
  #body: object | typeof NO_OBJECT | undefined;

  constructor(message: FilterableMessage) {
    this.#message = message;
  }

  /** Values of the attributes that can be compared; several for a String.Array. A Binary is as good as absent. */
  get attributes(): ReadonlyMap<string, readonly Scalar[]> {
    this.#attributes ??= readAttributes(this.#message.attributes);
    return this.#attributes;
  }

  /** The parsed body; undefined when it is not a JSON object. */
  get body(): object | undefined {
    this.#body ??= readBody(this.#message.body);
    return this.#body === NO_OBJECT ? undefined : this.#body;
  }
}

function readAttributes(
  attributes: FilterableMessage["attributes"],
): Map<string, readonly Scalar[]> {
  const values = new Map<string, readonly Scalar[]>();
  for (const name of Object.keys(attributes)) {
    const attribute = attributes[name];
    const read = attribute && readAttribute(attribute);
    if (read) values.set(name, read);
  }
  return values;
}

function readAttribute({ type, value }: { type: string; value: string }): Scalar[] | undefined {
  if (type === "String.Array") return readArray(value);
  // The label after the point is the application's own.
  if (type === "Number" || type.startsWith("Number.")) return [Number(value)];
  if (type === "String" || type.startsWith("String.")) return [value];
  return undefined;
}

/** One value is a list of it, as in SNS; what is no JSON has none: it is there, and equal to nothing. */
function readArray(value: string): Scalar[] {
  const parsed = parse(value);
  return (Array.isArray(parsed) ? parsed : [parsed]).filter(isScalar);
}

function readBody(body: string): object | typeof NO_OBJECT {
  const parsed = parse(body);
  return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
    ? parsed
    : NO_OBJECT;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
