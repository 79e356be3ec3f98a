import { expect, test } from "vitest";

import { authenticationProblems, sealingKeyOf } from "./authentication.ts";

const secretsKey = new Uint8Array(32);

test.each([
  ["127.0.0.1", "auto", undefined, []],
  ["localhost", "auto", undefined, []],
  ["::1", "auto", secretsKey, []],
  ["0.0.0.0", "off", undefined, []],
  ["0.0.0.0", "on", secretsKey, []],
  ["0.0.0.0", "auto", secretsKey, [expect.stringContaining("AUTH is not set")]],
  ["127.evil.example", "auto", undefined, [expect.stringContaining("AUTH is not set")]],
  ["127.0.0.1", "on", undefined, [expect.stringContaining("SECRETS_KEY is not set")]],
] as const)("HOST=%s AUTH=%s with key %s: %j", (host, auth, key, problems) => {
  expect(authenticationProblems({ host, auth, secretsKey: key })).toEqual(problems);
});

test("secrets are opened only where keys are needed", () => {
  expect(sealingKeyOf({ host: "::1", auth: "on", secretsKey })).toBe(secretsKey);
  expect(sealingKeyOf({ host: "::1", auth: "off", secretsKey })).toBeUndefined();
  expect(sealingKeyOf({ host: "::1", auth: "auto", secretsKey })).toBeUndefined();
});
