import { invalidParameter, invalidValue, missingParameter, type Service } from "../errors.ts";
import type {
  ListShape,
  MapShape,
  Scalar,
  Shape,
  StructureShape,
  ValueOf,
} from "../model/shape.ts";
import type { FormNode } from "./form.ts";

/**
 * Reads an input out of the parameters of a Query request.
 *
 * Lists come bare as SQS has them (`AttributeName.1`) and wrapped as SNS has them (`Tags.member.1`, `Attributes.entry.1`); all of
 * it is read for both, under the name of the member or of its entries.
 */
export function inputFromForm<S extends StructureShape>(
  service: Service,
  shape: S,
  form: FormNode,
): ValueOf<S> {
  return new FormReader(service).structure(shape, [form], "") as ValueOf<S>;
}

/** Where a member may stand: under its own name and under that of its entries. */
type Places = FormNode[];

class FormReader {
  readonly #service: Service;

  constructor(service: Service) {
    this.#service = service;
  }

  structure(shape: StructureShape, places: Places, path: string): object {
    const result: Record<string, unknown> = {};
    const at = (name: string) => (path === "" ? name : `${path}.${name}`);
    for (const [name, member] of Object.entries(shape.required)) {
      const value = this.#member(member, placesOf(places, name, member), at(name));
      if (value === undefined) throw missingParameter(this.#service, at(name));
      result[name] = value;
    }
    for (const [name, member] of Object.entries(shape.optional)) {
      const value = this.#member(member, placesOf(places, name, member), at(name));
      if (value !== undefined) result[name] = value;
    }
    return result;
  }

  #member(shape: Shape, places: Places, path: string): unknown {
    if (typeof shape === "string") {
      const text = places.find((place) => place.value !== undefined)?.value;
      return text === undefined ? undefined : this.#scalar(shape, text, path);
    }
    if (places.length === 0) return undefined;
    switch (shape.kind) {
      case "list":
        return this.#list(shape, places, path);
      case "map":
        return this.#map(shape, places, path);
      case "structure":
        return this.structure(shape, places, path);
      default:
        return shape satisfies never;
    }
  }

  #list(shape: ListShape, places: Places, path: string): unknown[] {
    return entriesOf(places, "member").map(([index, entry]) => {
      const value = this.#member(shape.of, [entry], `${path}.${index}`);
      if (value === undefined) throw missingParameter(this.#service, `${path}.${index}`);
      return value;
    });
  }

  #map(shape: MapShape, places: Places, path: string): Map<string, unknown> {
    return new Map(
      entriesOf(places, "entry").map(([index, entry]) => {
        const key = childOf(entry, shape.keyName)?.value;
        if (key === undefined)
          throw missingParameter(this.#service, `${path}.${index}.${shape.keyName}`);
        const child = childOf(entry, shape.valueName);
        const value = child && this.#member(shape.of, [child], `${path}.${index}.Value`);
        if (value === undefined)
          throw missingParameter(this.#service, `${path}.${index}.${shape.valueName}`);
        return [key, value];
      }),
    );
  }

  #scalar(shape: Scalar, text: string, path: string): string | number | boolean {
    switch (shape) {
      case "string":
      case "blob":
        return text;
      case "integer":
        if (!/^[+-]?\d{1,15}$/.test(text)) throw this.#wrong(path, text, "Must be an integer.");
        return Number(text);
      case "boolean":
        if (!/^(true|false)$/i.test(text)) throw this.#wrong(path, text, "Must be true or false.");
        return text.toLowerCase() === "true";
      default:
        return shape satisfies never;
    }
  }

  #wrong(path: string, text: string, reason: string) {
    return this.#service === "sqs"
      ? invalidValue(path, text, reason)
      : invalidParameter(path, reason);
  }
}

function placesOf(parents: Places, name: string, shape: Shape): Places {
  const names = [name];
  if (typeof shape === "object" && shape.kind !== "structure" && shape.entryName !== undefined)
    names.push(shape.entryName);
  // Documented, but not in the model: MessageSystemAttributeName.1.
  if (typeof shape === "object" && shape.kind === "list" && name.endsWith("Names"))
    names.push(name.slice(0, -1));
  return parents.flatMap((parent) =>
    [...new Set(names)].flatMap((each) => {
      const child = parent.children.get(each);
      return child ? [child] : [];
    }),
  );
}

/** The numbered children, in order of their numbers; wrapped or bare. */
function entriesOf(places: Places, wrapper: string): [number, FormNode][] {
  return places
    .flatMap((place) => [
      place,
      ...(place.children.has(wrapper) ? [place.children.get(wrapper)] : []),
    ])
    .flatMap((place) => [...(place as FormNode).children])
    .filter(([name]) => /^[1-9]\d{0,8}$/.test(name))
    .map(([name, node]): [number, FormNode] => [Number(name), node])
    .sort(([a], [b]) => a - b);
}

/** Clients differ in the case of Name, Key and Value. */
function childOf(entry: FormNode, name: string): FormNode | undefined {
  const lower = name.toLowerCase();
  const spellings =
    lower === "name" || lower === "key"
      ? [name, "Name", "Key", "key", "name"]
      : [name, "Value", "value"];
  for (const spelling of spellings) {
    const child = entry.children.get(spelling);
    if (child) return child;
  }
  return undefined;
}
