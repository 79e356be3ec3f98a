import { afterAll, describe, expect, test } from "vitest";

import { TestApi } from "./api.ts";
import { Document } from "./document.ts";

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

  test("are what their schemas accept", () => {
    for (const { schema, example } of found) {
      expect(document.schemaOf(schema).safeParse(example)).toMatchObject({ success: true });
    }
  });
});

type Json = Record<string, unknown>;

function examplesIn(value: unknown): { schema: Json; example: unknown }[] {
  if (typeof value !== "object" || value === null) return [];
  const inside = Object.values(value).flatMap(examplesIn);
  const isSchema = "example" in value && "type" in value;
  return isSchema ? [{ schema: value as Json, example: value.example }, ...inside] : inside;
}
