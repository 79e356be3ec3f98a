import { commonError, missingParameter } from "../errors.ts";
import type { MapShape, Shape, StructureShape, ValueOf } from "../model/shape.ts";

/** Reads an input out of parsed JSON; members that its shape does not know are left out, as AWS does. */
export function inputFromJson<S extends StructureShape>(shape: S, value: unknown): ValueOf<S> {
  return read(shape, value, undefined) as ValueOf<S>;
}

/** Where a value stands. It is written out for errors alone: `Entries.3.Id`. */
interface Path {
  in: Path | undefined;
  step: string | number;
}

function read(shape: Shape, value: unknown, path: Path | undefined): unknown {
  if (typeof shape === "string") return readScalar(shape, value, path);
  switch (shape.kind) {
    case "list":
      if (!Array.isArray(value)) throw wrong(path, "a list");
      return value.map((entry, index) => read(shape.of, entry, { in: path, step: index + 1 }));
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
  path: Path | undefined,
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

function readMap(shape: MapShape, value: unknown, path: Path | undefined): Map<string, unknown> {
  if (!isObject(value)) throw wrong(path, "an object");
  return new Map(
    Object.entries(value).map(([key, entry]) => [
      key,
      read(shape.of, entry, { in: path, step: key }),
    ]),
  );
}

function readStructure(shape: StructureShape, value: unknown, path: Path | undefined): object {
  if (!isObject(value)) throw wrong(path, "an object");
  const result: Record<string, unknown> = {};
  for (const { name, shape: member, isRequired } of shape.members) {
    const given = ownValue(value, name);
    if (given !== undefined) result[name] = read(member, given, { in: path, step: name });
    else if (isRequired) throw missingParameter("sqs", textOf({ in: path, step: name }));
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

function wrong(path: Path | undefined, expected: string) {
  const where = path ? textOf(path).slice(0, 200) : "the body";
  return commonError("MalformedInput", `${where} has to be ${expected}`);
}

function textOf(path: Path): string {
  return path.in ? `${textOf(path.in)}.${path.step}` : String(path.step);
}
