import { OpenAPIHono, z } from "@hono/zod-openapi";
import { SluiceError, type ErrorDetail } from "@sluice/engine";
import type { Context } from "hono";

import { readJson } from "./body.ts";
import type { HotRoute } from "./direct-way.ts";
import type { ApiEnv, Call } from "./environment.ts";
import { errorResponses } from "./errors.ts";
import type { ErrorCode } from "@sluice/engine";

/** The app, and those of its routes that can be called without it. */
export class Api extends OpenAPIHono<ApiEnv> {
  readonly hotRoutes: HotRoute[] = [];
}

export interface EndpointDefinition<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
> {
  method: "get" | "post" | "patch" | "delete";
  /** With parameters in braces, as OpenAPI writes them: `/v1/topics/{topic}`. */
  path: string;
  /** What generated clients call it. */
  operationId: string;
  summary: string;
  description?: string;
  tag: string;
  params?: Params;
  query?: Query;
  headers?: z.ZodObject;
  body?: Body;
  /**
   * A body that works as it stands, for whoever tries the call out. A receipt handle in it says where one comes from.
   */
  example?: NoInfer<z.input<Body>>;
  /** Success status → what is answered. */
  responses: Record<number, { description: string; schema?: z.ZodType }>;
  /** Codes this endpoint answers besides those that any endpoint may. */
  errors?: ErrorCode[];
}

export interface EndpointInput<Params, Query, Body> {
  c: Context<ApiEnv>;
  params: Params;
  query: Query;
  body: Body;
}

/**
 * Adds one endpoint: its OpenAPI entry and its handler come from the same schemas. A request that does not fit them is
 * refused before the handler runs, with the path of each mistake.
 */
export function endpoint<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  api: Api,
  definition: EndpointDefinition<Params, Query, Body>,
  handle: (
    input: EndpointInput<z.output<Params>, z.output<Query>, z.output<Body>>,
  ) => Response | Promise<Response>,
): void {
  const { method, path, params, query, body } = definition;
  document(api, definition);
  api.on(method.toUpperCase(), patternOf(path), async (c) => {
    const input = {
      c,
      params: params && check(params, c.req.param(), "path"),
      query: query && check(query, c.req.query(), "query"),
      body: body && check(body, await readJson(c)),
    };
    return await handle(input as EndpointInput<z.output<Params>, z.output<Query>, z.output<Body>>);
  });
}

/**
 * Adds an endpoint that is called for each message or two: a POST with one name in its path, or none, that answers 200
 * with the JSON that its handler makes. It is one of the app's like any other, and is reached without Hono as well; see
 * `direct-way.ts`.
 */
export function hotEndpoint<Params extends z.ZodType, Body extends z.ZodType>(
  api: Api,
  definition: EndpointDefinition<Params, z.ZodType, Body> & { body: Body },
  handle: (input: {
    c: Call;
    params: z.output<Params>;
    body: z.output<Body>;
  }) => Promise<string | Buffer>,
): void {
  const { params, body } = definition;
  const pattern = patternOf(definition.path);
  const answer = async (c: Call, given: Record<string, string>) =>
    handle({
      c,
      params: (params && check(params, given, "path")) as z.output<Params>,
      body: check(body, await readJson(c)),
    });
  document(api, definition);
  api.post(pattern, async (c) => {
    const json = await answer(c, c.req.param());
    return new Response(json, { headers: { "content-type": "application/json" } });
  });
  api.hotRoutes.push({ pattern, answer });
}

/** As Hono writes it: `/v1/topics/:topic`. */
function patternOf(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}

function document(api: Api, definition: EndpointDefinition<z.ZodType, z.ZodType, z.ZodType>): void {
  const {
    method,
    path,
    operationId,
    summary,
    description,
    tag,
    params,
    query,
    headers,
    body,
    example,
    responses,
    errors = [],
  } = definition;
  api.openAPIRegistry.registerPath({
    method,
    path,
    operationId,
    summary,
    description,
    tags: [tag],
    request: {
      ...(params && { params: params as z.ZodObject }),
      ...(query && { query: query as z.ZodObject }),
      ...(headers && { headers }),
      ...(body && {
        body: { required: true, content: { "application/json": { schema: body, example } } },
      }),
    },
    responses: {
      ...Object.fromEntries(
        Object.entries(responses).map(([status, { description: text, schema }]) => [
          status,
          { description: text, ...(schema && { content: { "application/json": { schema } } }) },
        ]),
      ),
      ...errorResponses([
        ...errors,
        ...(params ? (["invalid_name"] as const) : []),
        ...(body
          ? ([
              "malformed_json",
              "unsupported_media_type",
              "request_too_large",
              "too_many_requests",
            ] as const)
          : []),
      ]),
    },
  });
}

/**
 * @throws {SluiceError} `invalid_request` with the path of each mistake, or `invalid_name` when only names are wrong
 */
function check<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where?: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = explained(schema, value, result.error);
  const details = issues
    .slice(0, MAX_DETAILS)
    .flatMap((issue) => detailsOf(issue, where === "query" ? ["query"] : []))
    .slice(0, MAX_DETAILS);
  const nameOnly = issues.every(
    (issue) => issue.code === "invalid_format" && isNamePath(issue.path),
  );
  const first = details[0];
  throw new SluiceError(
    nameOnly ? "invalid_name" : "invalid_request",
    first ? `${first.path}: ${first.message}` : "the request does not fit its schema",
    { details },
  );
}

const MAX_DETAILS = 10;
/** What Zod says of a field that is not there. */
const MISSING = /^Invalid input: expected (.+), received undefined$/;

/** One a mistake; of unknown keys one each, under its own path. */
function detailsOf(issue: z.core.$ZodIssue, before: readonly string[]): ErrorDetail[] {
  const path = [...before, ...issue.path.map(String)];
  if (issue.code !== "unrecognized_keys") {
    // Of a key of a record Zod says only that it is wrong, and why one level deeper.
    const [why = issue] = issue.code === "invalid_key" ? issue.issues : [];
    const message = why.message.replace(MISSING, "missing: expected $1");
    return [{ path: shortened(path.join(".") || "body"), message: shortened(message) }];
  }
  return issue.keys
    .slice(0, MAX_DETAILS)
    .map((key) => ({ path: shortened([...path, key].join(".")), message: issue.message }));
}

/**
 * The same mistakes, where unknown keys are among them told with the names that there are. Asking for that whenever
 * something is checked would make each check dearer by 1.4 µs (0.15 without).
 */
function explained(schema: z.ZodType, value: unknown, found: z.ZodError): z.ZodError {
  if (found.issues.every(({ code }) => code !== "unrecognized_keys")) return found;
  return schema.safeParse(value, { error: knownNames }).error ?? found;
}

/** What is said of a key that there is not; of all else what its schema says. */
function knownNames(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== "unrecognized_keys" || !(issue.inst instanceof z.ZodObject)) return undefined;
  return `there is no such field, only ${Object.keys(issue.inst.shape).join(", ")}`;
}

/** Paths and messages quote keys of the request, which may be of any length. */
function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function isNamePath(path: readonly PropertyKey[]): boolean {
  return path.length === 1 && ["name", "topic", "queue"].includes(String(path[0]));
}
