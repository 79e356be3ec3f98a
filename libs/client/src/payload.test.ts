import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { SluiceError } from "./errors.ts";
import { json, jsonFormat, locateMismatch, textFormat } from "./payload.ts";

function mismatchOf(call: () => unknown): SluiceError {
  try {
    call();
  } catch (error) {
    return error as SluiceError;
  }
  throw new Error("did not throw");
}

test("text goes as it is", () => {
  expect(textFormat.encode("plain ✓")).toBe("plain ✓");
  expect(textFormat.decode("plain ✓")).toBe("plain ✓");
  expect(mismatchOf(() => textFormat.encode({} as never)).code).toBe("schema_mismatch");
});

test("a default is applied by the receiver, once", () => {
  const format = jsonFormat(z.object({ tries: z.number().default(3) }));
  expect(format.encode({})).toBe("{}");
  expect(format.decode("{}")).toEqual({ tries: 3 });
});

describe("what the receiver could not read is refused by the sender", () => {
  test.each([
    ["a Date where the schema wants a Date", z.object({ at: z.date() }), { at: new Date() }, "at"],
    ["NaN, which JSON writes as null", z.object({ n: z.number() }), { n: Number.NaN }, "n"],
    ["a bigint", z.bigint(), 1n, ""],
    ["undefined", z.undefined(), undefined, ""],
  ])("%s", (_, schema, payload, path) => {
    const error = mismatchOf(() => jsonFormat(schema).encode(payload as never));
    expect(error).toMatchObject({
      code: "schema_mismatch",
      details: [expect.objectContaining({ path })],
    });
  });

  test("but a Date where the schema takes its JSON", () => {
    const at = new Date("2026-11-23T10:00:00Z");
    const format = jsonFormat(z.object({ at: z.coerce.date() }));
    expect(format.decode(format.encode({ at }) as string)).toEqual({ at });
  });
});

test("a body that is not JSON is a mismatch with its cause", () => {
  const error = mismatchOf(() => jsonFormat(json()).decode("{oops"));
  expect(error.code).toBe("schema_mismatch");
  expect(error.cause).toBeInstanceOf(SyntaxError);
});

test("a schema is asked as the object that it is", () => {
  const even = {
    version: 1 as const,
    vendor: "mine",
    divisor: 2,
    validate(value: unknown) {
      const isOne = typeof value === "number" && value % this.divisor === 0;
      return isOne ? { value } : { issues: [{ message: `no multiple of ${this.divisor}` }] };
    },
  };
  const format = jsonFormat({ "~standard": even });
  expect(format.decode("4")).toBe(4);
  expect(() => format.encode(3)).toThrow("no multiple of 2");
});

test("an asynchronous schema is awaited on both sides", async () => {
  const known = async (id: string) => id !== "ghost";
  const format = jsonFormat(
    v.objectAsync({ id: v.pipeAsync(v.string(), v.checkAsync(known, "unknown id")) }),
  );
  await expect(format.encode({ id: "a" })).resolves.toBe('{"id":"a"}');
  await expect(format.decode('{"id":"a"}')).resolves.toEqual({ id: "a" });
  const refusal = { code: "schema_mismatch", details: [{ path: "id", message: "unknown id" }] };
  await expect(format.encode({ id: "ghost" })).rejects.toMatchObject(refusal);
  await expect(format.decode('{"id":"ghost"}')).rejects.toMatchObject(refusal);
});

test.each([
  [
    "throws",
    () => {
      throw new TypeError("no such tax");
    },
  ],
  ["rejects", () => Promise.reject(new TypeError("no such tax"))],
])("a schema that %s is a mismatch with its cause, on both sides", async (_, validate) => {
  const format = jsonFormat({ "~standard": { version: 1, vendor: "own", validate } });
  const mismatch = {
    code: "schema_mismatch",
    message: expect.stringContaining("no such tax") as string,
    cause: expect.any(TypeError) as TypeError,
  };
  await expect((async () => format.encode(1 as never))()).rejects.toMatchObject(mismatch);
  await expect((async () => format.decode("1"))()).rejects.toMatchObject(mismatch);
});

test("a mismatch is located by prefixing its paths", () => {
  const format = jsonFormat(z.object({ user: z.object({ id: z.string() }) }));
  const error = mismatchOf(() => format.encode({ user: {} } as never));
  const located = locateMismatch(error, "payloads.3");
  expect(located.details[0]?.path).toBe("payloads.3.user.id");
  expect(located.message).toContain("payloads.3.user.id: ");
  // Of a format that is not made here.
  const other = new Error("x");
  expect(locateMismatch(other, "payload")).toMatchObject({
    code: "schema_mismatch",
    details: [{ path: "payload", message: "the schema failed: x" }],
    cause: other,
  });
});
