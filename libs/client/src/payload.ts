import type { StandardSchemaV1 } from "@standard-schema/spec";
import { SluiceError } from "./errors.ts";
import type { ErrorDetail } from "./errors.ts";
import { isSluiceError, messageOf } from "./given.ts";

/** How a declared payload becomes a message body and a body becomes a payload again. */
export interface PayloadFormat<in Input, out Output> {
  /** The body to send, once the payload has been checked. Throws `schema_mismatch`. */
  encode(payload: Input): string | Promise<string>;
  /** The payload of a received body. Throws `schema_mismatch`. */
  decode(body: string): Output | Promise<Output>;
}

/** Bodies as they are: no JSON, no schema. */
export const textFormat: PayloadFormat<string, string> = {
  encode(payload) {
    if (typeof payload === "string") return payload;
    throw mismatch(`expected a string, since no schema is declared; got ${typeof payload}`);
  },
  decode: (body) => body,
};

/**
 * JSON bodies checked by a Standard Schema on both sides.
 *
 * The body carries the schema's input, not its output: the receiver runs the schema too, and a transformation or a
 * default must be applied once. What is checked before sending is the JSON as the receiver will parse it, so a value
 * that JSON cannot carry (a Date where the schema wants a Date, a BigInt, NaN) is refused here and not there.
 */
export function jsonFormat<Schema extends StandardSchemaV1>(
  schema: Schema,
): PayloadFormat<StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>> {
  const validate = guarded(schema);
  return {
    encode(payload) {
      const body = toJson(payload);
      const result = validate(JSON.parse(body));
      if (isPromise(result)) return result.then((late) => (outputOf(late), body));
      outputOf(result);
      return body;
    },
    decode(body) {
      const result = validate(fromJson(body));
      return isPromise(result) ? result.then(outputOf) : outputOf(result);
    },
  };
}

/**
 * A schema that takes any JSON and believes the type it is given: for bodies that are checked elsewhere.
 *
 * @example
 * ```ts
 * const metrics = queue("metrics", json<{ name: string; value: number }>());
 * ```
 */
export function json<Payload = unknown>(): StandardSchemaV1<Payload, Payload> {
  const validate = (value: unknown) => ({ value: value as Payload });
  return { "~standard": { version: 1, vendor: "sluice", validate } };
}

/**
 * Says where a mismatch happened: the path of each detail is prefixed, as in `payloads.3.user.id`. A format that is not
 * made here may throw anything else, which is a mismatch too.
 */
export function locateMismatch(thrown: unknown, prefix: string): SluiceError {
  const error = isSluiceError(thrown) ? thrown : failed(thrown);
  if (error.code !== "schema_mismatch") return error;
  const details = error.details.map(({ path, message }) => ({ path: join(prefix, path), message }));
  return schemaMismatch(details, error.cause);
}

export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

type Result<Schema extends StandardSchemaV1> = StandardSchemaV1.Result<
  StandardSchemaV1.InferOutput<Schema>
>;

/** A refinement or a transformation that throws says that the payload is none that the schema takes. */
function guarded<Schema extends StandardSchemaV1>(
  schema: Schema,
): (value: unknown) => Result<Schema> | Promise<Result<Schema>> {
  // As a method of it: one that somebody has written himself may use `this`.
  const standard = schema["~standard"];
  return (value) => {
    try {
      const result = standard.validate(value) as Result<Schema> | Promise<Result<Schema>>;
      if (!isPromise(result)) return result;
      return result.then(undefined, (cause: unknown) => {
        throw failed(cause);
      });
    } catch (cause) {
      throw failed(cause);
    }
  };
}

function failed(cause: unknown): SluiceError {
  return mismatch(`the schema failed: ${messageOf(cause) ?? "it does not say why"}`, cause);
}

function toJson(payload: unknown): string {
  let body: string | undefined;
  try {
    body = JSON.stringify(payload);
  } catch (cause) {
    const why = messageOf(cause) ?? "it does not say why";
    throw mismatch(`cannot be written as JSON: ${why}`, cause);
  }
  if (body === undefined) throw mismatch(`cannot be written as JSON: ${typeof payload}`);
  return body;
}

function fromJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw mismatch(`the body is not JSON: ${(cause as Error).message}`, cause);
  }
}

function outputOf<Output>(result: StandardSchemaV1.Result<Output>): Output {
  let details: ErrorDetail[];
  try {
    if (result.issues === undefined) return result.value;
    details = result.issues.map(detailOf);
  } catch (cause) {
    throw failed(cause);
  }
  throw schemaMismatch(details);
}

function detailOf({ message, path = [] }: StandardSchemaV1.Issue): ErrorDetail {
  const keys = path.map((step) => (typeof step === "object" ? step.key : step));
  return { path: keys.map(String).join("."), message: String(message) };
}

function mismatch(message: string, cause?: unknown): SluiceError {
  return schemaMismatch([{ path: "", message }], cause);
}

function schemaMismatch(details: readonly ErrorDetail[], cause?: unknown): SluiceError {
  const told = details.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return new SluiceError("schema_mismatch", `The payload does not match: ${told.join("; ")}`, {
    details,
    cause,
  });
}

function join(prefix: string, path: string): string {
  return path === "" ? prefix : `${prefix}.${path}`;
}
