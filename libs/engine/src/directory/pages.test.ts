import { expect, test } from "vitest";

import { afterCursor, likePrefix, pageOf } from "./pages.ts";

const name = (item: string) => item;

test("a page that is not the last one has a cursor behind its last item", () => {
  const { items, nextCursor } = pageOf(["a", "b", "c"], 2, name);
  expect(items).toEqual(["a", "b"]);
  expect(afterCursor(nextCursor)).toBe("b");
});

test("the last page has none", () => {
  expect(pageOf(["a", "b"], 2, name)).toEqual({ items: ["a", "b"] });
  expect(pageOf([], 2, name)).toEqual({ items: [] });
});

test("no cursor is the beginning", () => {
  expect(afterCursor(undefined)).toBeUndefined();
});

test.each(["", "!!", "YSBi", "AA", "x".repeat(500)])("the cursor %j is refused", (cursor) => {
  expect(() => afterCursor(cursor)).toThrow(expect.objectContaining({ code: "invalid_request" }));
});

test("a prefix means its characters, whatever LIKE makes of them", () => {
  expect(likePrefix(String.raw`a_b%c\d`)).toBe(String.raw`a\_b\%c\\d%`);
});
