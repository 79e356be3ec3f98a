import { expect, test } from "vitest";

import { readSignature } from "./read-signature.ts";
import { signatureOf, verify } from "./verify.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";

interface Vector {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
  signature: string;
}

// Of the test suite that AWS published with Signature Version 4.
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
  expect(signatureOf(request, given, { secret: SECRET })).toBe(vector.signature);
});

test("keys are looked up only for what could be a signature of now and here", async () => {
  const asked: string[] = [];
  const keys = { find: (id: string) => Promise.resolve(void asked.push(id)) };
  const vanilla = requestOf(vectors["get-vanilla"] as Vector);
  await expect(verify(keys, "us-east-1", vanilla)).rejects.toMatchObject({
    form: { code: "SignatureDoesNotMatch" },
  });
  expect(asked).toEqual([]);
});

function requestOf({ method = "GET", path = "/", headers = {}, body = "", signature }: Vector) {
  const all = { host: "example.amazonaws.com", "x-amz-date": "20150830T123600Z", ...headers };
  const signedHeaders = Object.keys(all).sort().join(";");
  const authorization = `AWS4-HMAC-SHA256 Credential=${SCOPE}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  return {
    method,
    path,
    headers: new Map(Object.entries({ ...all, authorization })),
    authorizations: 1,
    body: Buffer.from(body),
  };
}
