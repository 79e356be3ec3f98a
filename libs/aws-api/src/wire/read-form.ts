import { invalidParameter, invalidValue, missingParameter, type Service } from "../errors.ts";
import type {
  ListShape,
  MapShape,
  Member,
  Scalar,
  Shape,
  StructureShape,
  ValueOf,
} from "../model/shape.ts";
import type { FormNode } from "./form.ts";

/**
 * Reads an input out of the parameters of a Query request.
 *
 * Lists come bare as SQS has them (`AttributeName.1`) and wrapped as SNS has them (`Tags.member.1`,
 * `Attributes.entry.1`); all of it is read for both, under the name of the member or of its entries.
 */
export function inputFromForm<S extends StructureShape>(
  service: Service,
  shape: S,
  form: FormNode,
): ValueOf<S> {
  return new FormReader(service).structure(shape, [form], "") as ValueOf<S>;
}

function isEntries({ name, isRequired, shape }: Member): boolean {
  return (
    isRequired && name.endsWith("Entries") && typeof shape === "object" && shape.kind === "list"
  );
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
    for (const each of shape.members) {
      const { name, shape: member, isRequired } = each;
      const memberPath = path === "" ? name : `${path}.${name}`;
      const value = this.#member(member, placesOf(places, each), memberPath);
      if (value !== undefined) result[name] = value;
      // Of a batch without entries nothing is written at all; it is refused as such.
      else if (isEntries(each)) result[name] = [];
      else if (isRequired) throw missingParameter(this.#service, memberPath);
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
    return [...bareOf(places), ...entriesOf(places, "member")].map(([index, entry]) => {
      const value = this.#member(shape.of, [entry], `${path}.${index}`);
      if (value === undefined) throw missingParameter(this.#service, `${path}.${index}`);
      return value;
    });
  }

  #map(shape: MapShape, places: Places, path: string): Map<string, unknown> {
    const entries = [...onlyEntryOf(places, shape), ...entriesOf(places, "entry")];
    return new Map(
      entries.map(([index, entry]) => {
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

function placesOf(parents: Places, member: Member): Places {
  const places: FormNode[] = [];
  for (const parent of parents) {
    for (const name of namesOf(member)) {
      const child = parent.children.get(name);
      if (child) places.push(child);
    }
  }
  return places;
}

const names = new WeakMap<Member, readonly string[]>();

function namesOf(member: Member): readonly string[] {
  let known = names.get(member);
  if (!known) names.set(member, (known = [...spellingsOf(member)]));
  return known;
}

function spellingsOf({ name, shape }: Member): Set<string> {
  const spellings = new Set([name]);
  if (typeof shape === "object" && shape.kind !== "structure" && shape.entryName !== undefined)
    spellings.add(shape.entryName);
  // Documented, but not in the model: MessageSystemAttributeName.1.
  if (typeof shape === "object" && shape.kind === "list" && name.endsWith("Names"))
    spellings.add(name.slice(0, -1));
  return spellings;
}

/** A list of one may come without its number: `AttributeName=All`, as examples of AWS' documentation have it. */
function bareOf(places: Places): [number, FormNode][] {
  const place = places.find(({ value }) => value !== undefined && value !== "");
  return place ? [[1, { ...place, children: new Map() }]] : [];
}

/** A map of one may come without its number as well: `Attribute.Name=…&Attribute.Value=…`, as boto 2 sends it. */
function onlyEntryOf(places: Places, { keyName }: MapShape): [number, FormNode][] {
  const place = places.find((each) => childOf(each, keyName) !== undefined);
  return place ? [[1, place]] : [];
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
