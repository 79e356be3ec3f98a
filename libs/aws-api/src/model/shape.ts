/**
 * How the inputs and outputs of AWS' actions are told: enough to read and write both of its protocols, and to give
 * the functions behind the actions their types.
 */
export type Shape = Scalar | ListShape | MapShape | StructureShape;

/** A blob is carried as the base64 text that it is on the wire. */
export type Scalar = "string" | "integer" | "boolean" | "blob";

export interface ListShape<Of extends Shape = Shape> {
  kind: "list";
  of: Of;
  /**
   * What SQS calls an entry in the Query protocol, where lists have no wrapper: `SendMessageBatchRequestEntry.1.Id`.
   */
  entryName: string | undefined;
}

export interface MapShape<Of extends Shape = Shape> {
  kind: "map";
  of: Of;
  entryName: string | undefined;
  keyName: string;
  valueName: string;
}

export interface StructureShape<
  Required extends Record<string, Shape> = Record<string, Shape>,
  Optional extends Record<string, Shape> = Record<string, Shape>,
> {
  kind: "structure";
  required: Required;
  optional: Optional;
  /** All of them, those that are required first. */
  members: readonly Member[];
}

export interface Member {
  name: string;
  shape: Shape;
  isRequired: boolean;
}

export interface Action {
  input: StructureShape;
  output: StructureShape | undefined;
}

/** What a shape is once it is read. A map is a `Map`, so that no key of a request is ever a property of anything. */
export type ValueOf<S> = S extends "string" | "blob"
  ? string
  : S extends "integer"
    ? number
    : S extends "boolean"
      ? boolean
      : S extends { kind: "list"; of: infer Of }
        ? ValueOf<Of>[]
        : S extends { kind: "map"; of: infer Of }
          ? ReadonlyMap<string, ValueOf<Of>>
          : S extends { kind: "structure"; required: infer Required; optional: infer Optional }
            ? { [Name in keyof Required]: ValueOf<Required[Name]> } & {
                [Name in keyof Optional]?: ValueOf<Optional[Name]> | undefined;
              }
            : never;

export function list<const Of extends Shape>(of: Of, entryName?: string): ListShape<Of> {
  return { kind: "list", of, entryName };
}

export function map<const Of extends Shape>(
  of: Of,
  {
    entryName,
    keyName = "key",
    valueName = "value",
  }: { entryName?: string; keyName?: string; valueName?: string } = {},
): MapShape<Of> {
  return { kind: "map", of, entryName, keyName, valueName };
}

export function structure<
  const Required extends Record<string, Shape>,
  const Optional extends Record<string, Shape> = {},
>(required: Required, optional?: Optional): StructureShape<Required, Optional> {
  const membersOf = (shapes: Record<string, Shape>, isRequired: boolean) =>
    Object.entries(shapes).map(([name, shape]) => ({ name, shape, isRequired }));
  return {
    kind: "structure",
    required,
    optional: optional ?? ({} as Optional),
    members: [...membersOf(required, true), ...membersOf(optional ?? {}, false)],
  };
}
