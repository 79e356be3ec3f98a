import { once } from "node:events";
import { createServer, request, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import type { Engine } from "@sluice/engine";
import { readBody } from "@sluice/http-api";
import { afterAll, beforeAll, expect, test } from "vitest";

import { directWay } from "./direct-way.ts";
import { Origins } from "./origin.ts";

const observed: string[] = [];
const direct = directWay(
  {
    engine: {} as Engine,
    account: "000000000000",
    guard: undefined,
    report: (error) => {
      throw error;
    },
    onRequest: ({ method, route, status }) => observed.push(`${method} ${route} ${status}`),
  },
  new Origins(),
  async ({ http, origin, path }) => ({
    status: 400,
    headers: { "content-type": "text/plain" },
    body: `${origin}${path} ${http.req.header("x-amz-target")} ${(await readBody(http)).toString()}`,
  }),
);
const server = createServer((incoming, outgoing) => {
  direct(incoming, outgoing, () => outgoing.writeHead(404).end("left"));
});
let port: number;
beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => server.close());

interface Given {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
}

async function answerTo({ method = "POST", path = "/", headers = {} }: Given): Promise<string> {
  // Its connection is its own: some of these bodies are shorter than they say.
  const call = request({ agent: false, port, method, path, headers: { ...headers } });
  call.end("body");
  const [response] = (await once(call, "response")) as [IncomingMessage];
  return await text(response);
}

const plain = { host: "127.0.0.1:4566", "content-length": "4" };

test.each(["/", "/000000000000/orders", "/000000000000/orders.fifo"])(
  "a plain call to %s is answered",
  async (path) => {
    const target = { "x-amz-target": "AmazonSQS.SendMessage" };
    expect(await answerTo({ path, headers: { ...plain, ...target } })).toBe(
      `http://127.0.0.1:4566${path} AmazonSQS.SendMessage body`,
    );
    expect(observed.at(-1)).toBe(`POST ${path === "/" ? "/" : "unknown"} 400`);
  },
);

test("a host is named as a URL names it", async () => {
  expect(await answerTo({ headers: { ...plain, host: "127.1:80" } })).toContain(
    "http://127.0.0.1/",
  );
  expect(await answerTo({ headers: { ...plain, host: "sluice" } })).toContain("http://sluice/");
});

test.each<[string, Given]>([
  ["another method", { method: "PUT" }],
  ["parameters in the URL", { path: "/?Action=ListQueues" }],
  ["a path of the native API", { path: "/v1/topics" }],
  ["a path that has another reading", { path: "/000000000000/.." }],
  ["an escaped path", { path: "/000000000000/%6frders" }],
  ["a host that has another reading", { headers: { host: "me@sluice" } }],
  ["a host that is none", { headers: { host: "999.999.999.999" } }],
  ["a body of no known length", { headers: { "transfer-encoding": "chunked" } }],
  ["a body too large to read", { headers: { "content-length": String(17 * 1024 * 1024) } }],
  ["a compressed body", { headers: { "content-encoding": "gzip" } }],
])("a request with %s is left", async (_, { headers, ...given }) => {
  const { "content-length": length, ...others } = plain;
  const known: Record<string, string> = headers?.["transfer-encoding"]
    ? {}
    : { "content-length": length };
  expect(await answerTo({ ...given, headers: { ...others, ...known, ...headers } })).toBe("left");
});
