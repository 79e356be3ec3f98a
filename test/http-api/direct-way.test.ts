import { request } from "node:http";

import { serve } from "@sluice/http-api";
import { afterAll, beforeEach, expect, test } from "vitest";

import { TestApi } from "./api.ts";

const api = await TestApi.start({ dispatchers: 0 });
const { fetch, direct } = api.app;
let handedOn = 0;
const address = { host: "127.0.0.1", port: 0, fetch };
const both = await serve({
  ...address,
  direct: (incoming, outgoing, next) => {
    direct(incoming, outgoing, () => {
      handedOn += 1;
      next();
    });
  },
});
const appAlone = await serve(address);
afterAll(async () => {
  await Promise.all([both.close(), appAlone.close()]);
  await api[Symbol.asyncDispose]();
});

await api.ok("POST /v1/queues", { body: { name: "orders" } });
await api.ok("POST /v1/queues", { body: { name: "orders.fifo", fifo: true } });
await api.ok("POST /v1/topics", { body: { name: "events" } });
beforeEach(() => {
  handedOn = 0;
});

interface Sent {
  method?: string;
  path: string;
  /** A list is sent as so many headers. */
  headers?: Record<string, string | string[]>;
  /** As it is, without a length when it is in parts. */
  body: string | string[];
}

interface Told {
  status: number | undefined;
  headers: Record<string, unknown>;
  text: string;
}

const json = { "content-type": "application/json" };

function ask(url: string, { method = "POST", path, headers = json, body }: Sent): Promise<Told> {
  return new Promise((resolve, reject) => {
    const length = typeof body === "string" ? { "content-length": Buffer.byteLength(body) } : {};
    const sent = request(url + path, { method, headers: { ...length, ...headers } });
    sent.on("error", reject).on("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => {
        const { date: _, ...told } = answer.headers;
        // Ids are new each time, and as long as any other.
        const messageId = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
        resolve({
          status: answer.statusCode,
          headers: told,
          text: text.replaceAll(messageId, "an id"),
        });
      });
    });
    for (const part of typeof body === "string" ? [] : body) sent.write(part);
    sent.end(typeof body === "string" ? body : undefined);
  });
}

async function bothWays(sent: Sent): Promise<Told> {
  const told = await ask(both.url, sent);
  expect(told).toEqual(await ask(appAlone.url, sent));
  return told;
}

const messages = '{"messages":[{"body":"ü"},{"body":""}]}';

test.each<[string, string, string, number]>([
  ["a publish", "/v1/topics/events/messages", messages, 200],
  ["a send", "/v1/queues/orders/messages", messages, 200],
  ["a receive", "/v1/queues/orders.fifo/receive", '{"wait":0}', 200],
  ["a receive by receipts", "/v1/queues/orders.fifo/receive", '{"receipts":true}', 200],
  ["receives from several queues", "/v1/receive", '{"receives":[{"queue":"no"}]}', 200],
  ["an acknowledgement", "/v1/queues/orders/ack", '{"receiptHandles":["a"]}', 400],
  ["a change of visibility", "/v1/queues/orders/visibility", '{"entries":[]}', 400],
  ["no JSON", "/v1/queues/orders/receive", "{", 400],
  ["no text", "/v1/queues/orders/receive", "", 400],
  ["a field nobody knows", "/v1/queues/orders/receive", '{"max":1}', 400],
  ["a queue nobody knows", "/v1/queues/nobody/receive", "{}", 404],
  ["a name that is too long", `/v1/queues/${"q".repeat(81)}/receive`, "{}", 400],
])("%s is answered directly as the app answers it", async (_, path, body, status) => {
  expect((await bothWays({ path, body })).status).toBe(status);
  expect(handedOn).toBe(0);
});

const send = { path: "/v1/queues/orders/messages", body: messages };

test.each<[string, Sent, number]>([
  ["another method", { ...send, method: "PUT" }, 405],
  ["a query", { ...send, path: `${send.path}?a=1` }, 200],
  ["an escaped name", { ...send, path: "/v1/queues/%6frders/messages" }, 200],
  ["an empty name", { path: "/v1/queues//receive", body: "{}" }, 404],
  ["a name of dots", { ...send, path: "/v1/queues/../messages" }, 404],
  ["a route that is not hot", { path: "/v1/queues/orders/purge", body: "{}" }, 200],
  ["a content type with parameters", { ...send, headers: charset("utf-8") }, 200],
  ["no content type", { ...send, headers: {} }, 415],
  [
    "two content types",
    { ...send, headers: { "content-type": ["application/json", "text/plain"] } },
    415,
  ],
  ["a header that is there twice", { ...send, headers: { ...json, "x-any": ["a", "b"] } }, 200],
  ["a compressed body", { ...send, headers: { ...json, "content-encoding": "gzip" } }, 415],
  ["a body of unknown length", { ...send, body: [messages.slice(0, 9), messages.slice(9)] }, 200],
  ["a host that is none", { ...send, headers: { ...json, host: "a b" } }, 400],
])("%s is left to the app", async (_, sent, status) => {
  expect((await ask(both.url, sent)).status).toBe(status);
  expect(handedOn).toBe(1);
});

function charset(name: string): Record<string, string> {
  return { "content-type": `application/json; charset=${name}` };
}

test("a header is read as the app reads it", async () => {
  const bad = { ...send, headers: { ...json, "idempotency-key": "ü" } };
  expect(await bothWays(bad)).toMatchObject({ status: 400 });
  const first = { ...send, headers: { ...json, "idempotency-key": "one" } };
  expect(await ask(both.url, first)).toMatchObject({ status: 200 });
  const { text } = await ask(appAlone.url, { ...first, path: "/v1/topics/events/messages" });
  expect(text).toContain("idempotency_key_reused");
  expect(handedOn).toBe(0);
});
