import { z } from "zod";

type Json = Record<string, unknown>;

export interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  parameters?: { name: string; in: string; required?: boolean; schema?: Json }[];
  requestBody?: { required?: boolean; content: Record<string, Content> };
  responses: Record<string, { description: string; content?: Record<string, Content> }>;
}

interface Content {
  schema: Json;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

/** The OpenAPI document that an API serves, and what it says of an answer. */
export class Document {
  readonly content: { openapi: string; paths: Record<string, Record<string, Operation>> } & Json;
  readonly #schemas = new Map<Json, z.ZodType>();

  constructor(content: unknown) {
    this.content = content as Document["content"];
  }

  /** `GET /v1/topics/{topic}` and what it does. */
  operations(): [string, Operation][] {
    return Object.entries(this.content.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, Operation] => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    );
  }

  /** Throws when an operation answers with a status or a body that its entry does not have. */
  check(method: string, path: string, answer: { status: number; body: unknown }): void {
    const operation = this.#operationAt(method, path);
    if (!operation) return;
    const documented = operation.responses[String(answer.status)];
    if (!documented) {
      throw new Error(
        `${method} ${path} answers ${answer.status}, which the document does not know`,
      );
    }
    const schema = documented.content?.["application/json"]?.schema;
    if (schema) this.schemaOf(schema).parse(answer.body);
    else if (answer.body !== undefined)
      throw new Error(`${method} ${path} has a body, undocumented`);
  }

  schemaOf(schema: Json): z.ZodType {
    const known = this.#schemas.get(schema);
    if (known) return known;
    const made = z.fromJSONSchema(this.resolved(schema) as Parameters<typeof z.fromJSONSchema>[0]);
    this.#schemas.set(schema, made);
    return made;
  }

  /** With every reference replaced by what it refers to; throws for one that leads nowhere. */
  resolved(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((entry) => this.resolved(entry));
    if (typeof value !== "object" || value === null) return value;
    if ("$ref" in value) return this.resolved(this.#at(String(value.$ref)));
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, this.resolved(entry)]),
    );
  }

  #at(reference: string): unknown {
    let found: unknown = this.content;
    for (const part of reference.replace(/^#\//, "").split("/")) found = (found as Json)[part];
    if (found === undefined) throw new Error(`${reference} leads nowhere`);
    return found;
  }

  #operationAt(method: string, path: string): Operation | undefined {
    const parts = path.split("?", 1)[0]?.split("/") ?? [];
    const [, methods] =
      Object.entries(this.content.paths).find(([pattern]) => {
        const expected = pattern.split("/");
        return (
          expected.length === parts.length &&
          expected.every((part, index) => part.startsWith("{") || part === parts[index])
        );
      }) ?? [];
    return methods?.[method.toLowerCase()];
  }
}
