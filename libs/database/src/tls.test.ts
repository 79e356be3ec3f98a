import { connect, createServer, type AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import { createTestDatabase } from "@sluice/stack/testing";
import { sql as text } from "drizzle-orm";
import { afterAll, expect, inject, test } from "vitest";
import { connectDatabase } from "./connect.ts";
import { statement } from "./statement.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
afterAll(() => testDatabase[Symbol.asyncDispose]());

/** Of a `localhost` that is nobody: made for this test, and good for nothing else. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglbVXfyd6UO27VqTb
M/KeO/dU7lUW2oGZmvE1b2ruVCWhRANCAAS06+Hr0Ix/HLH8M5deLd06ZxzrKOfQ
D8Bls++dr9qNNSmcgHDFvYieN4mIWOkL3Muu2R5050AXGsT8vPmn4lA1
-----END PRIVATE KEY-----`;
const cert = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUZkAsRtIMnFcxHBf8++WwPLVf7fowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODE2NDkxM1oYDzIxMjYxMTA0
MTY0OTEzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS06+Hr0Ix/HLH8M5deLd06ZxzrKOfQD8Bls++dr9qNNSmcgHDFvYie
N4mIWOkL3Muu2R5050AXGsT8vPmn4lA1o1MwUTAdBgNVHQ4EFgQUxMb1pk84zHgH
mGnNR4/L6q9MOwswHwYDVR0jBBgwFoAUxMb1pk84zHgHmGnNR4/L6q9MOwswDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBCOgmJrGXUEWVYKbA7Te6+
W6KZYEg5o9wNuk5TGMUU1gIhAL7YmvemrqhMdNeK3mBUmIsu5ORsl367x61gZg1r
imLO
-----END CERTIFICATE-----`;

/** Postgres as a client meets it that has to encrypt. */
async function encryptedWay() {
  const server = createServer((client) => {
    client.on("error", () => {});
    // The first thing that comes asks for TLS.
    client.once("data", () => {
      client.write("S");
      const plain = new TLSSocket(client, { isServer: true, key, cert });
      const upstream = connect(Number(new URL(testDatabase.url).port), "127.0.0.1");
      plain.on("error", () => {});
      upstream.on("error", () => {});
      plain.pipe(upstream).pipe(plain);
      client.on("close", () => upstream.destroy());
      upstream.on("close", () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(testDatabase.url);
  url.port = String((server.address() as AddressInfo).port);
  url.searchParams.set("sslmode", "require");
  return {
    url: url.href,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

test("each connection can be encrypted", async () => {
  await using way = await encryptedWay();
  await using database = connectDatabase({ url: way.url, pool: 1 });
  const one = [{ one: 1 }];
  expect(await database.sql`SELECT 1 AS one`).toEqual(one);
  expect(await database.maintenance`SELECT 1 AS one`).toEqual(one);
  expect([...(await database.control.execute(text`SELECT 1 AS one`))]).toEqual(one);
  const outcome = await database.shared.inOneCommit((on) =>
    [1, 2].map(() => statement(on`SELECT 1 AS one`, (rows) => [...rows])),
  );
  expect(outcome).toEqual({ results: [one, one] });
});
