import type { StandardSchemaV1 } from "@standard-schema/spec";
import { SluiceError } from "./errors.ts";
import { shown } from "./given.ts";
import { jsonFormat, textFormat } from "./payload.ts";
import type { PayloadFormat } from "./payload.ts";

interface Declaration<Kind, in Input, out Output, out Name extends string> {
  readonly kind: Kind;
  readonly name: Name;
  readonly format: PayloadFormat<Input, Output>;
}

/** A topic's name and what its messages carry; made by {@link topic}. */
export type TopicDeclaration<
  Input = never,
  Output = unknown,
  Name extends string = string,
> = Declaration<"topic", Input, Output, Name>;

/** A queue's name and what its messages carry; made by {@link queue}. */
export type QueueDeclaration<
  Input = never,
  Output = unknown,
  Name extends string = string,
> = Declaration<"queue", Input, Output, Name>;

/** The type that publishing to a declared topic, or sending to a declared queue, takes. */
export type PayloadInput<D> = D extends { format: PayloadFormat<infer Input, unknown> }
  ? Input
  : never;

/** The type that handlers of a declared queue get. */
export type Payload<D> = D extends { format: PayloadFormat<never, infer Output> } ? Output : never;

type Any = StandardSchemaV1;
type In<Schema extends Any> = StandardSchemaV1.InferInput<Schema>;
type Out<Schema extends Any> = StandardSchemaV1.InferOutput<Schema>;

/**
 * Declares a topic: its name (1 to 256 of `A-Z a-z 0-9 _ -`; that of a FIFO topic ends in `.fifo`) and the schema of
 * what is published to it.
 *
 * Any Standard Schema will do (Zod, Valibot, ArkType …): publishing takes its input type, handlers get its output type,
 * and bodies are JSON. Without a schema, payloads are strings and go as they are. The name is part of the type: where
 * it ends in `.fifo`, publishing takes a `groupId` and does not compile without. Throws `invalid_name`, and
 * `invalid_request` for what is no schema.
 *
 * @example
 * ```ts
 * const orders = topic("orders", z.object({ id: z.string(), total: z.number() }));
 * ```
 */
export function topic<Name extends string>(name: Name): TopicDeclaration<string, string, Name>;
export function topic<Schema extends Any, Name extends string = string>(
  name: Name,
  schema: Schema,
): TopicDeclaration<In<Schema>, Out<Schema>, Name>;
export function topic(name: string, schema?: Any): TopicDeclaration<never, unknown> {
  return {
    kind: "topic",
    name: topicName(name),
    format: formatOf(schema, "a Standard Schema (Zod 3.24 or later, Valibot 1, ArkType 2 …)"),
  };
}

/**
 * Declares a queue: its name (1 to 80 of `A-Z a-z 0-9 _ -`; that of a FIFO queue ends in `.fifo`) and the schema of its
 * messages, or the topic that it is fed by, or a queue that carries the same. Of a dead-letter queue neither: among its
 * messages are those whose body was not what the schema wants, and as text they can be read.
 *
 * Throws `invalid_name`, and `invalid_request` for what is no schema.
 *
 * @example
 * ```ts
 * const billing = queue("billing", orders); // what is published to orders is what billing's handlers get
 * ```
 */
export function queue<Name extends string>(name: Name): QueueDeclaration<string, string, Name>;
export function queue<Input, Output, Name extends string = string>(
  name: Name,
  source: TopicDeclaration<Input, Output> | QueueDeclaration<Input, Output>,
): QueueDeclaration<Input, Output, Name>;
export function queue<Schema extends Any, Name extends string = string>(
  name: Name,
  schema: Schema,
): QueueDeclaration<In<Schema>, Out<Schema>, Name>;
export function queue(
  name: string,
  source?: Any | TopicDeclaration | QueueDeclaration,
): QueueDeclaration<never, unknown> {
  const expected =
    "a Standard Schema (Zod 3.24 or later, Valibot 1, ArkType 2 …), or a declared topic or queue";
  return { kind: "queue", name: queueName(name), format: formatOf(source, expected) };
}

/**
 * Throws `invalid_request` for a name alone, which says nothing of payloads, and for what is declared as another kind.
 * For callers without types.
 */
export function assertDeclared(
  declaration: { format: unknown; kind: string },
  kind?: "queue" | "topic",
): void {
  const given = declaration as { format?: unknown; kind?: unknown } | string | undefined | null;
  const isDeclared = typeof given === "object" && given?.format !== undefined;
  if (isDeclared && (kind === undefined || given.kind === kind)) return;
  const expected = kind === undefined ? 'topic("...") or queue("...")' : `${kind}("...")`;
  const message = `expected what ${expected} declares, got ${shown(given)}`;
  throw new SluiceError("invalid_request", `Not a declaration: ${message}.`, {
    details: [{ path: "declaration", message }],
  });
}

/** A declared topic or just its name. */
export type TopicReference = string | TopicDeclaration;

/** A declared queue or just its name. */
export type QueueReference = string | QueueDeclaration;

export function topicName(reference: TopicReference): string {
  return checkedName(reference, {
    kind: "topic",
    form: /^(?=.{1,256}$)[A-Za-z0-9_-]+(\.fifo)?$/,
    rule: "expected 1 to 256 of A-Z a-z 0-9 _ -, and .fifo at the end of a FIFO topic's",
  });
}

export function queueName(reference: QueueReference): string {
  return checkedName(reference, {
    kind: "queue",
    form: /^(?=.{1,80}$)[A-Za-z0-9_-]+(\.fifo)?$/,
    rule: "expected 1 to 80 of A-Z a-z 0-9 _ -, and .fifo at the end of a FIFO queue's",
  });
}

/** Also for callers without types. */
function formatOf(source: unknown, expected: string): PayloadFormat<never, unknown> {
  if (source === undefined) return textFormat;
  const { format, "~standard": standard } = (source ?? {}) as Partial<TopicDeclaration & Any>;
  if (standard !== undefined) return jsonFormat(source as Any);
  if (format !== undefined) return format;
  // Of a function its name, as that of `json` without its parentheses.
  const given = typeof source === "function" ? `the function ${source.name}` : shown(source);
  const message = `expected ${expected}, got ${given}`;
  throw new SluiceError("invalid_request", `Not a schema: ${message}.`, {
    details: [{ path: "schema", message }],
  });
}

function checkedName(
  reference: TopicReference | QueueReference,
  { kind, form, rule: message }: { kind: "topic" | "queue"; form: RegExp; rule: string },
): string {
  const declared = typeof reference === "object" ? (reference as Partial<TopicDeclaration>) : {};
  const name = typeof reference === "string" ? reference : declared?.name;
  if (declared?.kind !== undefined && declared.kind !== kind) {
    const told = `expected a ${kind}, got the ${String(declared.kind)} ${shown(name)}`;
    throw new SluiceError("invalid_request", `Not a ${kind}: ${told}.`, {
      details: [{ path: kind, message: told }],
    });
  }
  if (typeof name === "string" && form.test(name)) return name;
  throw new SluiceError(
    "invalid_name",
    `The ${kind} name ${shown(name)} is out of rule: ${message}.`,
    {
      details: [{ path: kind, message }],
    },
  );
}
