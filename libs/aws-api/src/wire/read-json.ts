import { commonError, missingParameter } from "../errors.ts";
import type { MapShape, Shape, StructureShape, ValueOf } from "../model/shape.ts";

/** Reads an input out of parsed JSON; members that its shape does not know are left out, as AWS does. */
export function inputFromJson<S extends StructureShape>(shape: S, value: unknown): ValueOf<S> {
  return read(shape, value, "") as ValueOf<S>;
}

function read(shape: Shape, value: unknown, path: string): unknown {
  if (typeof shape === "string") return readScalar(shape, value, path);
  switch (shape.kind) {
    case "list":
      if (!Array.isArray(value)) throw wrong(path, "a list");
      return value.map((entry, index) => read(shape.of, entry, `${path}.${index + 1}`));
    case "map":
      return readMap(shape, value, path);
    case "structure":
      return readStructure(shape, value, path);
    default:
      return shape satisfies never;
  }
}

function readScalar(
  shape: "string" | "integer" | "boolean" | "blob",
  value: unknown,
  path: string,
) {
  switch (shape) {
    case "string":
    case "blob":
      if (typeof value !== "string") throw wrong(path, "a string");
      return value;
    case "integer":
      if (typeof value !== "number" || !Number.isSafeInteger(value))
        throw wrong(path, "an integer");
      return value;
    case "boolean":
      if (typeof value !== "boolean") throw wrong(path, "true or false");
      return value;
    default:
      return shape satisfies never;
  }
}

function readMap(shape: MapShape, value: unknown, path: string): Map<string, unknown> {
  if (!isObject(value)) throw wrong(path, "an object");
  return new Map(
    Object.entries(value).map(([key, entry]) => [key, read(shape.of, entry, `${path}.${key}`)]),
  );
}

function readStructure(shape: StructureShape, value: unknown, path: string): object {
  if (!isObject(value)) throw wrong(path, "an object");
  const result: Record<string, unknown> = {};
  const at = (name: string) => (path === "" ? name : `${path}.${name}`);
  for (const [name, member] of Object.entries(shape.required)) {
    const given = ownValue(value, name);
    if (given === undefined) throw missingParameter("sqs", at(name));
    result[name] = read(member, given, at(name));
  }
  for (const [name, member] of Object.entries(shape.optional)) {
    const given = ownValue(value, name);
    if (given !== undefined) result[name] = read(member, given, at(name));
  }
  return result;
}

/** Null is what some clients write for what they leave out. */
function ownValue(object: object, name: string): unknown {
  return Object.hasOwn(object, name)
    ? ((object as Record<string, unknown>)[name] ?? undefined)
    : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, expected: string) {
  return commonError("MalformedInput", `${path.slice(0, 200) || "the body"} has to be ${expected}`);
}
