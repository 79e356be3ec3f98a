import { errorTable } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { TestApi } from "./api.ts";
import { Document, type Operation } from "./document.ts";

const api = await TestApi.start({ dispatchers: 0 });
afterAll(() => api[Symbol.asyncDispose]());
const document = new Document((await api.call("GET /openapi.json")).body);

/** What stands around the API and is no part of it. */
const around = [
  "GET /openapi.json",
  "GET /docs",
  "GET /docs/{asset}",
  "GET /healthz",
  "GET /readyz",
  "GET /metrics",
];

test("says which version it is written in, and of what", () => {
  expect(document.content).toMatchObject({
    openapi: "3.1.0",
    info: { title: "Sluice", version: expect.any(String), description: expect.any(String) },
  });
});

test("says at its head how errors, access keys and limits are", () => {
  const { info } = document.content as unknown as { info: { description: string } };
  for (const { status, retryable } of Object.values(errorTable))
    if (retryable) expect(info.description).toContain(String(status));
  for (const file of ["docs/errors.md", "docs/aws.md"]) expect(info.description).toContain(file);
  expect(info.description).toMatch(/Authorization: Bearer/);
  expect(info.description).toMatch(/1,000 messages .* 4 MiB/s);
});

test("asks for no access key where none is needed", () => {
  expect(document.content).not.toHaveProperty("security");
});

test("has each route of the API, and none that is not there", () => {
  const routes = api.app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`)
    .filter((route) => !around.includes(route));
  const documented = document.operations().map(([route]) => route);
  expect(documented.sort()).toEqual([...new Set(routes)].sort());
  expect(documented.length).toBeGreaterThan(15);
});

test("names each operation, each by a name of its own", () => {
  const names = document.operations().map(([, { operationId }]) => operationId);
  for (const name of names) expect(name).toMatch(/^[a-z]+[A-Za-z]*$/);
  expect(new Set(names).size).toBe(names.length);
});

test("has no reference that leads nowhere", () => {
  expect(() => document.resolved(document.content)).not.toThrow();
});

describe.each(document.operations())("%s", (route, operation) => {
  test("has a summary and a tag", () => {
    expect(operation.summary).toMatch(/^[A-Z].*[^.]$/);
    expect(operation.tags).toHaveLength(1);
  });

  test("declares the parameters of its path", () => {
    const inPath = [...route.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === "path");
    expect(declared.map(({ name }) => name)).toEqual(inPath);
    for (const { required, schema } of declared) {
      expect(required).toBe(true);
      expect(schema).toMatchObject({ type: "string" });
    }
  });

  test("requires its body, as JSON that refuses what it does not know", () => {
    if (!operation.requestBody) return;
    const { required, content } = operation.requestBody;
    expect(required).toBe(true);
    expect(Object.keys(content)).toEqual(["application/json"]);
    const schema = document.resolved(content["application/json"]?.schema);
    expect(schema).toMatchObject({ type: "object", additionalProperties: false });
  });

  test("answers a success and its errors, each with what it means", () => {
    const statuses = Object.keys(operation.responses).map(Number);
    expect(statuses.some((status) => status < 300)).toBe(true);
    expect(statuses).toEqual(expect.arrayContaining([400, 500, 503]));
    if (operation.requestBody) expect(statuses).toEqual(expect.arrayContaining([413, 415]));
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      expect(description).not.toBe("");
      if (Number(status) < 400) continue;
      expect(content?.["application/json"]?.schema).toEqual({ $ref: "#/components/schemas/Error" });
    }
  });

  test("shows each of its errors under the status that it has", () => {
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue;
      const shown = Object.entries(content?.["application/json"]?.examples ?? {});
      expect(shown.map(([code]) => code).join(", ")).toBe(description);
      for (const [code, { value }] of shown) {
        expect(value).toMatchObject({ error: { code } });
        expect(errorTable).toHaveProperty(`${code}.status`, Number(status));
        expect(document.schemaOf(content?.["application/json"]?.schema ?? {}).parse(value)).toEqual(
          value,
        );
      }
    }
  });

  test("says of each number that may be left out what it is then", () => {
    if (!operation.requestBody || route.startsWith("PATCH ")) return;
    const { schema } = operation.requestBody.content["application/json"]!;
    const { properties, required = [] } = document.resolved(schema) as {
      properties: Record<string, { type?: string; default?: unknown; description?: string }>;
      required?: string[];
    };
    const unsaid = Object.entries(properties).filter(
      ([name, { type, default: otherwise, description }]) =>
        type === "integer" && !required.includes(name) && (otherwise ?? description) === undefined,
    );
    expect(unsaid).toEqual([]);
  });

  // A generated client sends the default of what it was not given, which would be a change.
  test("has no default for what a change may leave as it is", () => {
    if (!route.startsWith("PATCH ")) return;
    const { schema } = operation.requestBody!.content["application/json"]!;
    expect(JSON.stringify(document.resolved(schema))).not.toContain('"default":');
  });

  test("has schemas that a validator understands", () => {
    for (const { content } of [
      ...Object.values(operation.responses),
      operation.requestBody ?? {},
    ]) {
      const schema = (content as Record<string, { schema: Record<string, unknown> }> | undefined)?.[
        "application/json"
      ]?.schema;
      if (schema) expect(() => document.schemaOf(schema)).not.toThrow();
    }
  });
});

describe("examples", () => {
  const found = examplesIn(document.resolved(document.content));

  test("are there for names, tags, attributes and times", () => {
    expect(found.length).toBeGreaterThan(10);
  });

  test("are there wherever one could only be made up from a pattern", () => {
    const bodies = document
      .operations()
      .flatMap(([, { requestBody, responses }]) => [requestBody, ...Object.values(responses)]);
    expect(patternsIn(document.resolved(bodies))).toEqual([]);
  });

  test("are what their schemas accept", () => {
    for (const { schema, example } of found) {
      expect(document.schemaOf(schema).safeParse(example)).toMatchObject({ success: true });
    }
  });

  test("of all bodies work as they stand, one after the other", async () => {
    await using fresh = await TestApi.start();
    let id = "";
    const handles: string[] = [];
    for (const [route, operation] of document.operations()) {
      if (!operation.requestBody) continue;
      // What a server gives away cannot be in an example that is written beforehand.
      const text = JSON.stringify(operation.requestBody.content["application/json"]?.example);
      const body = text.replaceAll(/<receiptHandle[^"]*>/g, () => handles.pop() ?? "there is none");
      const path = named(route, operation).replaceAll("{id}", id);
      const answer = await fresh.ok<Answered>(path, { body });
      id = operation.operationId === "subscribe" ? (answer.id ?? "") : id;
      const received = [answer, ...(answer.results ?? [])].flatMap(
        ({ messages }) => messages ?? [],
      );
      handles.push(...received.map(({ receiptHandle }) => receiptHandle));
      // One more for the next receive.
      if (received.length > 0) await fresh.ok("POST /v1/queues/billing/messages", sent);
    }
  });
});

const sent = { body: { messages: [{ body: "order 2" }] } };

interface Answered {
  id?: string;
  messages?: { receiptHandle: string }[];
  results?: { messages?: { receiptHandle: string }[] }[];
}

/** `POST /v1/queues/billing`: with the names that the parameters have as their examples. */
function named(route: string, { parameters = [] }: Operation): string {
  return parameters.reduce(
    (path, { name, schema }) =>
      typeof schema?.["example"] === "string"
        ? path.replaceAll(`{${name}}`, schema["example"])
        : path,
    route,
  );
}

type Json = Record<string, unknown>;

function examplesIn(value: unknown): { schema: Json; example: unknown }[] {
  if (typeof value !== "object" || value === null) return [];
  const inside = Object.values(value).flatMap(examplesIn);
  const isSchema = "example" in value && "type" in value;
  if (isSchema) return [{ schema: value as Json, example: value.example }, ...inside];
  const ofBody = "example" in value && "schema" in value;
  return ofBody ? [{ schema: value.schema as Json, example: value.example }, ...inside] : inside;
}

function patternsIn(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  const inside = Object.values(value).flatMap(patternsIn);
  const isMadeUp = "pattern" in value && !("example" in value) && !("format" in value);
  return isMadeUp ? [value, ...inside] : inside;
}

test("the document is made once, not for everybody who asks for it, which anybody may do", async () => {
  const first = await api.app.request("/openapi.json");
  expect(first.headers.get("content-type")).toBe("application/json");
  const { user } = process.cpuUsage();
  for (let count = 0; count < 200; count += 1)
    expect((await api.app.request("/openapi.json")).status).toBe(200);
  // Made for each of them it is four seconds.
  expect(process.cpuUsage().user - user).toBeLessThan(1_000_000);
});
