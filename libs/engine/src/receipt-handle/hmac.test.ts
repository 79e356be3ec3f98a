import { createHmac } from "node:crypto";

import fc from "fast-check";
import { expect, test } from "vitest";

import { hmacOfShort } from "./hmac.ts";

test("it is what Node makes of the same key and text", () => {
  const bytes = (minLength: number, maxLength: number) =>
    fc.uint8Array({ minLength, maxLength }).map((of) => Buffer.from(of));
  fc.assert(
    fc.property(bytes(1, 64), bytes(24, 24), bytes(0, 12), (key, text, more) => {
      const hmac = hmacOfShort(key, 24);
      const expected = createHmac("sha256", key).update(text).digest("hex");
      expect(hmac(Buffer.concat([text, more]))).toBe(expected);
      // Nothing of the one before stays.
      expect(hmac(text)).toBe(expected);
    }),
  );
});
