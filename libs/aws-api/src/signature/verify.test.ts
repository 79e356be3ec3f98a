import fc from "fast-check";
import { expect, test } from "vitest";

import { formOf } from "../wire/form.ts";
import { readParameters } from "../wire/parameters.ts";
import { readSignature } from "./read-signature.ts";
import { signatureOf } from "./signature-of.ts";
import { verify } from "./verify.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";

interface Vector {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
  signature: string;
}

// Of the test suite that AWS published with Signature Version 4; not the one with a path beyond ASCII, which is
// nobody's here.
const vectors: Record<string, Vector> = {
  "get-vanilla": {
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
  },
  "get-vanilla-query-order-key-case": {
    path: "/?Param2=value2&Param1=value1",
    signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  },
  "get-unreserved": {
    path: "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
  },
  "get-vanilla-utf8-query": {
    path: "/?ሴ=bar",
    signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
  },
  "get-header-value-trim": {
    headers: { "my-header1": " value1", "my-header2": ' "a   b   c"' },
    signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
  },
  "get-header-value-order": {
    headers: { "my-header1": "value4,value1,value3,value2" },
    signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
  },
  "get-header-key-duplicate": {
    headers: { "my-header1": "value2,value2,value1" },
    signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
  },
  "get-header-value-multiline": {
    headers: { "my-header1": "value1,value2,value3" },
    signature: "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
  },
  "get-vanilla-empty-query-key": {
    path: "/?Param1=value1",
    signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
  },
  "get-vanilla-query-unreserved": {
    path: "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
  },
  "post-header-key-sort": {
    method: "POST",
    headers: { "my-header1": "value1" },
    signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
  },
  "post-header-value-case": {
    method: "POST",
    headers: { "my-header1": "VALUE1" },
    signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
  },
  "post-sts-header-before": {
    method: "POST",
    headers: {
      "x-amz-security-token":
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    },
    signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
  },
  "post-x-www-form-urlencoded-parameters": {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded; charset=utf8" },
    body: "Param1=value1",
    signature: "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
  },
  "post-vanilla": {
    method: "POST",
    signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
  },
  "post-vanilla-query": {
    method: "POST",
    path: "/?Param1=value1",
    signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
  },
  "post-x-www-form-urlencoded": {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "Param1=value1",
    signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  },
};

test.each(Object.entries(vectors))("the signature of %s is AWS' own", (_, vector) => {
  const request = requestOf(vector);
  const given = readSignature(request);
  expect(signatureOf(request, given, SECRET)).toBe(vector.signature);
});

test("of two queries with one signature the same is read", () => {
  const pieces = [
    "&",
    "&".repeat(1_000),
    "?",
    "=",
    "#",
    ";",
    "+",
    "%",
    "%FF",
    "%3F",
    "%20",
    "A",
    "%41",
  ];
  // One that is longer has more parameters than anybody may send.
  const added = fc
    .array(fc.constantFrom(...pieces), { maxLength: 6 })
    .map((all) => all.join(""))
    .filter((more) => more.length < 1_900);
  const seen = new Map<string, unknown>();
  let refused = 0;
  fc.assert(
    fc.property(added, (more) => {
      let request;
      try {
        request = requestOf({ path: `/?a=1&b=2&c=3${more}`, signature: "0".repeat(64) });
      } catch {
        // Escaped bytes that are no text.
        refused += 1;
        return;
      }
      const names = request.parameters.map(([name]) => name);
      fc.pre(new Set(names).size === names.length);
      const signature = signatureOf(request, readSignature(request), SECRET);
      const read = formOf(request.parameters);
      expect(read).toEqual(seen.get(signature) ?? read);
      seen.set(signature, read);
    }),
    { numRuns: 2_000 },
  );
  expect(seen.size).toBeGreaterThan(100);
  expect(refused).toBeLessThan(1_500);
});

test("keys are looked up only for what could be a signature of now and here", async () => {
  const asked: string[] = [];
  const keys = { find: (id: string) => Promise.resolve(void asked.push(id)) };
  const vanilla = requestOf(vectors["get-vanilla"] as Vector);
  const unread = { ...vanilla, body: () => Promise.resolve(vanilla.body) };
  await expect(verify(keys, "us-east-1", unread)).rejects.toMatchObject({
    form: { code: "SignatureDoesNotMatch" },
  });
  expect(asked).toEqual([]);
});

function requestOf({ method = "GET", path = "/", headers = {}, body = "", signature }: Vector) {
  const all = { host: "example.amazonaws.com", "x-amz-date": "20150830T123600Z", ...headers };
  const signedHeaders = Object.keys(all).sort().join(";");
  const authorization = `AWS4-HMAC-SHA256 Credential=${SCOPE}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  const [route = "", ...query] = path.split("?");
  return {
    method,
    path: route,
    parameters: readParameters(query.join("?")),
    headers: new Map(Object.entries({ ...all, authorization })),
    authorizations: 1,
    body: Buffer.from(body),
  };
}
