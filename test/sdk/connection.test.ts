import { SluiceError, connect as open, createAdmin, type ConnectOptions } from "@sluice/client";
import { freePort } from "@sluice/stack";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ServerResponse } from "node:http";
import { describe, expect, test, vi } from "vitest";
import {
  hangUp,
  json,
  refusal,
  scriptedServer,
  scriptedServerAt,
  silence,
  type ScriptedServer,
  type Step,
} from "./scripted-server.ts";
import { stoppedClock } from "./stopped-clock.ts";

const quick = { baseDelayMs: 1, maxDelayMs: 5, budgetMs: 60_000 };
const ok = json(200, { fine: true });
const get = { method: "GET", path: "/v1/topics" } as const;

const cutAt =
  (bytes: Buffer) =>
  (cut: number): Step =>
  (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write(bytes.subarray(0, cut), () => {
      // In a packet of its own.
      setTimeout(() => response.end(bytes.subarray(cut)), 5);
    });
  };

describe.each([
  ["Node's HTTP client", undefined],
  ["fetch", globalThis.fetch],
])("by %s", (_, fetch) => {
  const connect = (options: ConnectOptions) => open({ ...options, ...(fetch && { fetch }) });

  test.each([
    ["a cut connection", hangUp],
    ["500", refusal(500, "internal")],
    ["503", refusal(503, "unavailable")],
    ["429", refusal(429, "too_many_requests")],
    [
      "a 408 that crossed the request on its way",
      (response: ServerResponse) => {
        response.writeHead(408).end();
      },
    ],
    [
      "a proxy's 502",
      (response: ServerResponse) => {
        response.writeHead(502).end();
      },
    ],
  ])("%s is survived by trying again", async (_, failure) => {
    await using server = await scriptedServer(failure, failure, ok);
    const connection = connect({ url: server.url, retry: quick });
    const onRetry = vi.fn();
    await expect(connection.request({ ...get, onRetry })).resolves.toEqual({ fine: true });
    expect(server.seen).toHaveLength(3);
    expect(onRetry.mock.calls.map(([, attempt]) => attempt as number)).toEqual([1, 2]);
  });

  test.each([
    ["plain", "a".repeat(300_000)],
    ["not plain", "€😀é".repeat(50_000)],
    ["plain but for its end", `${"a".repeat(300_000)}😀`],
    ["of the bytes that plain text has not", "\u0080\u00ff\ufeff".repeat(1_000)],
  ])("a long answer that is %s is read as it was written, wherever it is cut", async (_, body) => {
    const bytes = Buffer.from(JSON.stringify({ body }));
    const cuts = [1, 2, 3, 4].map((end) => bytes.length - end - '"}'.length);
    await using server = await scriptedServer(...cuts.map(cutAt(bytes)));
    const connection = connect({ url: server.url });
    for (const cut of cuts)
      await expect(connection.request(get), `cut at ${cut}`).resolves.toEqual({ body });
  });

  test("a connection tells of each attempt that will be repeated, and of no other", async () => {
    await using server = await scriptedServer(hangUp, refusal(503, "unavailable"), ok, hangUp);
    const onRetry = vi.fn<(error: SluiceError, attempt: number) => void>();
    const connection = connect({ url: server.url, retry: quick, onRetry });
    await connection.request(get);
    expect(onRetry.mock.calls.map(([{ code }, attempt]) => [code, attempt])).toEqual([
      ["network", 1],
      ["unavailable", 2],
    ]);
    await expect(connection.request({ ...get, retry: false })).rejects.toThrow();
    expect(onRetry).toHaveBeenCalledTimes(2);
  });

  test.each([
    ["throws", () => raise(new Error("the log is full"))],
    ["rejects", () => Promise.reject(new Error("the log is full"))],
  ])("an onRetry that %s does no harm", async (_, onRetry) => {
    const told = vi.spyOn(console, "error").mockReturnValue();
    await using server = await scriptedServer(hangUp, ok);
    const connection = connect({ url: server.url, retry: quick, onRetry });
    await expect(connection.request(get)).resolves.toEqual({ fine: true });
    expect(told).toHaveBeenCalledExactlyOnceWith("Sluice: onRetry threw", expect.any(Error));
    told.mockRestore();
  });

  test("what HTTP does not allow is refused at once, and never sent", async () => {
    await using server = await scriptedServer(ok);
    const connection = connect({ url: server.url, headers: { tenant: "a\r\nb" } });
    const code = fetch === undefined ? "invalid_request" : "network";
    await expect(connection.request({ ...get, retry: false })).rejects.toMatchObject({ code });
    expect(server.seen).toEqual([]);
  });

  test("what JSON does not carry is refused at once, and never sent", async () => {
    await using server = await scriptedServer(ok);
    const connection = connect({ url: server.url, retry: quick });
    const call = connection.request({ ...publish, body: { count: 1n } });
    await expect(call).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringMatching(/ cannot be sent: .*BigInt/),
      outcomeUnknown: false,
    });
    expect(server.seen).toEqual([]);
  });

  test("a call that is given up before it could be sent never is", async () => {
    await using server = await scriptedServer(ok, ok);
    const connection = connect({ url: server.url });
    const giveUp = new AbortController();
    const call = connection.request({ ...get, signal: giveUp.signal });
    giveUp.abort();
    await expect(call).rejects.toMatchObject({ code: "aborted" });
    await connection.request({ ...get, path: "/v1/queues" });
    expect(server.seen.map(({ url }) => url)).toEqual(["/v1/queues"]);
  });

  test("what will not pass is not tried again", async () => {
    await using server = await scriptedServer(refusal(404, "topic_not_found"));
    const connection = connect({ url: server.url, retry: quick });
    await expect(connection.request(get)).rejects.toMatchObject({
      code: "topic_not_found",
      status: 404,
    });
    expect(server.seen).toHaveLength(1);
  });

  test("a POST is repeated only with an idempotency key, and then with the same one", async () => {
    await using server = await scriptedServer(hangUp, hangUp, ok);
    const connection = connect({ url: server.url, retry: quick });
    const post = { method: "POST", path: "/v1/topics/t/messages", body: { messages: [] } } as const;
    await expect(connection.request(post)).rejects.toMatchObject({ code: "network" });
    expect(server.seen).toHaveLength(1);
    await connection.request({ ...post, idempotencyKey: "k-1" });
    expect(server.seen.map(({ headers }) => headers["idempotency-key"])).toEqual([
      undefined,
      "k-1",
      "k-1",
    ]);
    expect(server.seen[2]).toMatchObject({
      body: '{"messages":[]}',
      headers: { "content-type": "application/json" },
    });
  });

  const publish = { method: "POST", path: "/v1/x", idempotencyKey: "k", body: {} } as const;

  test.each<[string, Step[], object]>([
    ["after an answer that was lost", [hangUp, refusal(401, "unauthenticated")], { status: 401 }],
    ["after a gateway's 502", [json(502, {}), json(413, {})], { code: "request_too_large" }],
    ["of a success that cannot be read", [(response) => response.end("{")], { status: 200 }],
    ["of a lost answer", [hangUp], { code: "network" }],
  ])("an error tells that the outcome is unknown: %s", async (_, steps, error) => {
    await using server = await scriptedServer(...steps);
    // What is answered the same for ever ends with its budget.
    const budgetMs = steps.length === 1 ? 50 : quick.budgetMs;
    const connection = connect({ url: server.url, retry: { ...quick, budgetMs } });
    const failed = connection.request(publish);
    await expect(failed).rejects.toMatchObject({ ...error, outcomeUnknown: true });
  });

  test.each<[string, Step[], object]>([
    ["a refusal", [refusal(401, "unauthenticated")], { code: "unauthenticated" }],
    [
      "a refusal after one for being too busy",
      [refusal(429, "too_many_requests"), refusal(401, "unauthenticated")],
      { code: "unauthenticated" },
    ],
    ["a gateway's page", [(response) => response.writeHead(404).end("<p>")], { status: 404 }],
  ])("an error tells that the call had no effect: %s", async (_, steps, error) => {
    await using server = await scriptedServer(...steps);
    const failed = connect({ url: server.url, retry: quick }).request(publish);
    await expect(failed).rejects.toMatchObject({ ...error, outcomeUnknown: false });
  });

  test("a call that nobody can have read had no effect", async () => {
    const noEffect = { code: "network", outcomeUnknown: false };
    const url = `http://127.0.0.1:${await freePort()}`;
    await expect(connect({ url, retry: false }).request(publish)).rejects.toMatchObject(noEffect);
    const headers = () => Promise.reject(new Error("no token"));
    const tokenless = connect({ url, headers, retry: false });
    await expect(tokenless.request(publish)).rejects.toMatchObject(noEffect);
  });

  test("a POST whose connection was refused is repeated, for nobody has read it", async () => {
    const port = await freePort();
    const connection = connect({ url: `http://127.0.0.1:${port}`, retry: quick });
    const purge = { method: "POST", path: "/v1/queues/q/purge" } as const;
    let starting: Promise<ScriptedServer> | undefined;
    const onRetry = () => void (starting ??= scriptedServerAt(port, ok));
    await expect(connection.request({ ...purge, onRetry })).resolves.toEqual({ fine: true });
    await using server = await starting;
    expect(server?.seen).toHaveLength(1);
  });

  test("a POST that may not be repeated is not, though its connection was refused", async () => {
    const connection = connect({ url: `http://127.0.0.1:${await freePort()}`, retry: quick });
    const receive = { method: "POST", path: "/v1/queues/q/receive", retry: false } as const;
    const onRetry = vi.fn();
    const call = connection.request({ ...receive, onRetry });
    await expect(call).rejects.toMatchObject({ code: "network" });
    expect(onRetry).not.toHaveBeenCalled();
  });

  test("Retry-After is waited out", async () => {
    await using server = await scriptedServer(
      refusal(503, "unavailable", { "retry-after": "1" }),
      ok,
    );
    const started = performance.now();
    await connect({ url: server.url, retry: quick }).request(get);
    expect(performance.now() - started).toBeGreaterThanOrEqual(990);
  });

  test("attempts end with the budget, and the last error is thrown", async () => {
    using clock = stoppedClock();
    await using server = await scriptedServer((...answer) => {
      clock.advance(200);
      refusal(503, "unavailable")(...answer);
    });
    const connection = connect({ url: server.url, retry: { ...quick, budgetMs: 500 } });
    await expect(connection.request(get)).rejects.toMatchObject({
      code: "unavailable",
      retryable: true,
    });
    expect(server.seen).toHaveLength(3);
  });

  test.each([
    ["the process stood still", (clock: ReturnType<typeof stoppedClock>) => clock.advance(1_000)],
    ["the machine slept", (clock: ReturnType<typeof stoppedClock>) => clock.sleep(1_000)],
  ])("an attempt that would begin beyond the budget because %s is none", async (_, pass) => {
    using clock = stoppedClock();
    await using server = await scriptedServer(hangUp, ok);
    const connection = connect({
      url: server.url,
      retry: { ...quick, budgetMs: 500 },
      // In the pause before the next attempt.
      onRetry: () => pass(clock),
    });
    // Where that took minutes the server has forgotten the key, and would store the message once more.
    await expect(connection.request(publish)).rejects.toMatchObject({
      code: "network",
      outcomeUnknown: true,
    });
    expect(server.seen).toHaveLength(1);
  });

  test.each([
    ["hold the process up", (clock: ReturnType<typeof stoppedClock>) => clock.advance(1_000)],
    ["sleep with the machine", (clock: ReturnType<typeof stoppedClock>) => clock.sleep(1_000)],
  ])("an attempt is not sent once its time is over, while its headers %s", async (_, pass) => {
    using clock = stoppedClock();
    await using server = await scriptedServer(hangUp, ok);
    let tokens = 0;
    const connection = connect({
      url: server.url,
      timeoutMs: 500,
      retry: { ...quick, budgetMs: 400 },
      headers: () => {
        tokens += 1;
        if (tokens === 2) pass(clock);
        return {};
      },
    });
    await expect(connection.request(publish)).rejects.toMatchObject({
      code: "timeout",
      outcomeUnknown: true,
    });
    expect(server.seen).toHaveLength(1);
  });

  test("a Retry-After beyond the budget is not waited for", async () => {
    await using server = await scriptedServer(
      refusal(429, "too_many_requests", { "retry-after": "3600" }),
    );
    const connection = connect({ url: server.url, retry: quick });
    await expect(connection.request(get)).rejects.toMatchObject({
      code: "too_many_requests",
      retryAfterMs: 3_600_000,
    });
    expect(server.seen).toHaveLength(1);
  });

  test("retry: false makes one attempt", async () => {
    await using server = await scriptedServer(hangUp, ok);
    await expect(connect({ url: server.url, retry: false }).request(get)).rejects.toMatchObject({
      code: "network",
    });
  });

  test("a server that does not answer is a timeout, which is tried again", async () => {
    await using server = await scriptedServer(silence, ok);
    const connection = connect({ url: server.url, timeoutMs: 50, retry: quick });
    await expect(connection.request(get)).resolves.toEqual({ fine: true });
    await using mute = await scriptedServer(silence);
    const impatient = connect({ url: mute.url, timeoutMs: 20, retry: false });
    await expect(impatient.request(get)).rejects.toMatchObject({
      code: "timeout",
      retryable: true,
    });
  });

  test.each([Infinity, 2 ** 31])("a timeout of %d ms is a long one", async (timeoutMs) => {
    await using server = await scriptedServer((response, request) => {
      setTimeout(() => ok(response, request), 30);
    });
    const connection = connect({ url: server.url, timeoutMs, retry: false });
    await expect(connection.request(get)).resolves.toEqual({ fine: true });
  });

  test("an answer that is cut off in the middle is a network error, which is tried again", async () => {
    const cut = (response: ServerResponse) => {
      response.writeHead(200, { "content-length": 100 }).write('{"half', () => response.destroy());
    };
    await using server = await scriptedServer(cut, ok);
    await expect(connect({ url: server.url, retry: false }).request(get)).rejects.toMatchObject({
      code: "network",
    });
    await expect(connect({ url: server.url }).request(get)).resolves.toEqual({ fine: true });
  });

  test("an answer arrives whole, wherever the network parts it", async () => {
    const text = "ä€😀".repeat(50_000);
    const bytes = Buffer.from(JSON.stringify({ text }));
    await using server = await scriptedServer((response) => {
      response.writeHead(200).write(bytes.subarray(0, 100_001));
      setTimeout(() => response.end(bytes.subarray(100_001)), 10);
    });
    await expect(connect({ url: server.url }).request(get)).resolves.toEqual({ text });
  });

  test("an answer that stops in the middle is a timeout too", async () => {
    await using server = await scriptedServer(
      (response) => void response.writeHead(200).write('{"half'),
    );
    const connection = connect({ url: server.url, timeoutMs: 50, retry: false });
    await expect(connection.request(get)).rejects.toMatchObject({ code: "timeout" });
  });

  test("the caller's signal gives up the call, even while it waits for another attempt", async () => {
    await using mute = await scriptedServer(silence);
    const giveUp = new AbortController();
    const reason = new Error("changed my mind");
    const call = connect({ url: mute.url }).request({ ...get, signal: giveUp.signal });
    await vi.waitFor(() => expect(mute.seen).toHaveLength(1), { timeout: 15_000 });
    giveUp.abort(reason);
    await expect(call).rejects.toMatchObject({ code: "aborted", cause: reason });

    await using away = await scriptedServer(refusal(503, "unavailable", { "retry-after": "30" }));
    const later = new AbortController();
    const onRetry = () => later.abort();
    const waiting = connect({ url: away.url }).request({ ...get, signal: later.signal, onRetry });
    await expect(waiting).rejects.toMatchObject({ code: "aborted" });
  });

  test("an answer that has begun is read to its end, whatever the signal says", async () => {
    const giveUp = new AbortController();
    await using server = await scriptedServer((response) => {
      void untilAnswered(server.url).then(() => {
        giveUp.abort();
        setTimeout(() => response.end("1}"), 20);
      });
      response.writeHead(200).write('{"half":');
    });
    const call = connect({ url: server.url }).request({ ...get, signal: giveUp.signal });
    await expect(call).resolves.toEqual({ half: 1 });
  });

  test("no listener stays on a signal that outlives the call", async () => {
    await using server = await scriptedServer(ok);
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    await connect({ url: server.url }).request({ ...get, signal });
    expect(added).toHaveBeenCalledTimes(1);
    expect(removed).toHaveBeenCalledWith(...(added.mock.calls[0] as ["abort", () => void]));
  });

  test("a signal that has outlived a call gives up the next one", async () => {
    await using server = await scriptedServer(ok, silence);
    const giveUp = new AbortController();
    const connection = connect({ url: server.url });
    await connection.request({ ...get, signal: giveUp.signal });
    const call = connection.request({ ...get, signal: giveUp.signal });
    const outcome = expect(call).rejects.toMatchObject({ code: "aborted" });
    await vi.waitFor(() => expect(server.seen).toHaveLength(2), { timeout: 15_000 });
    giveUp.abort();
    await outcome;
  });

  test("a server that says only that it is at it can be given up", async () => {
    await using server = await scriptedServer((response) => response.writeProcessing());
    const giveUp = new AbortController();
    const call = connect({ url: server.url }).request({ ...get, signal: giveUp.signal });
    const outcome = expect(call).rejects.toMatchObject({ code: "aborted" });
    await vi.waitFor(() => expect(server.seen).toHaveLength(1), { timeout: 15_000 });
    // By then that has arrived.
    await connect({ url: server.url, timeoutMs: 50, retry: false })
      .request(get)
      .catch(() => {});
    giveUp.abort();
    await outcome;
  });

  test("nobody listening is a network error that names the address", async () => {
    const { url } = await scriptedServer().then(async (server) => {
      await server[Symbol.asyncDispose]();
      return server;
    });
    const error = await connect({ url, retry: false })
      .request(get)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SluiceError);
    expect((error as SluiceError).message).toContain(`GET /v1/topics at ${url} failed: `);
    expect((error as SluiceError).message).toContain("ECONNREFUSED");
  });

  test("headers go with every call; a function is asked each time and may fail in passing", async () => {
    await using server = await scriptedServer(ok);
    const tokens = vi
      .fn()
      .mockRejectedValueOnce(new Error("no token"))
      .mockResolvedValue({ authorization: "Bearer 1" });
    const connection = connect({ url: server.url, headers: tokens, retry: quick });
    await connection.request(get);
    await connection.request(get);
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer 1",
      "Bearer 1",
    ]);
    expect(tokens).toHaveBeenCalledTimes(3);
  });

  test("headers that do not come are a timeout, which is tried again; nothing was sent", async () => {
    await using server = await scriptedServer(ok);
    const never = new Promise<never>(() => {});
    const headers = vi.fn<() => Promise<Record<string, string>>>().mockReturnValueOnce(never);
    headers.mockResolvedValue({});
    const options = { url: server.url, headers, timeoutMs: 300 };
    const failed = connect({ ...options, retry: false }).request(publish);
    await expect(failed).rejects.toMatchObject({ code: "timeout", outcomeUnknown: false });
    expect(server.seen).toEqual([]);
    headers.mockReturnValueOnce(never);
    const patient = connect({ ...options, retry: quick });
    await expect(patient.request(publish)).resolves.toEqual({ fine: true });
  });

  test("the caller's signal gives up a call whose headers do not come", async () => {
    await using server = await scriptedServer(ok);
    const giveUp = new AbortController();
    const headers = () => new Promise<never>(() => {});
    const call = connect({ url: server.url, headers }).request({ ...get, signal: giveUp.signal });
    giveUp.abort();
    const noEffect = { code: "aborted", outcomeUnknown: false };
    await expect(call).rejects.toMatchObject(noEffect);
    expect(server.seen).toEqual([]);
  });

  test("a path in the address is kept, a redirect is not followed", async () => {
    await using server = await scriptedServer(
      (response) => void response.writeHead(302, { location: "/" }).end(),
    );
    const connection = connect({ url: `${server.url}/sluice/` });
    await expect(connection.request(get)).rejects.toMatchObject({
      code: "unexpected_response",
      status: 302,
    });
    expect(server.seen.map(({ url }) => url)).toEqual(["/sluice/v1/topics"]);
  });

  test.each(["127.0.0.1:4566", "ftp://x", ""])("the address %j is refused", (url) => {
    const refused = expect.objectContaining({
      code: "invalid_request",
      details: [expect.objectContaining({ path: "url" })],
    });
    expect(() => connect({ url })).toThrow(refused);
  });

  test.each([
    ["a password", "http://id:secret@127.0.0.1:4566/", /`headers`/],
    ["a user name", "http://id@127.0.0.1:4566/", /`headers`/],
    ["a query", "http://127.0.0.1:4566/?key=1", /query/],
    ["a fragment", "http://127.0.0.1:4566/#x", /fragment/],
  ])("an address with %s is refused, and not printed", (_, url, message) => {
    const details = [{ path: "url", message: expect.stringMatching(message) as string }];
    expect(() => connect({ url })).toThrow(
      expect.objectContaining({ code: "invalid_request", details }),
    );
    expect(() => connect({ url })).not.toThrow(/secret/);
  });

  test.each([
    ["timeout", { timeout: 5, timeoutMs: 5 }, "timeoutMs"],
    ["retry.budget", { retry: { budget: 5, budgetMs: 5 } }, "budgetMs"],
  ])("the unknown option %s is refused, and told what there is", (path, options, known) => {
    const details = [{ path, message: expect.stringContaining(known) as string }];
    expect(() => connect({ url: "http://127.0.0.1:4566", ...options })).toThrow(
      expect.objectContaining({ code: "invalid_request", details }),
    );
  });

  test("a delete whose first answer was lost is done, not not-found", async () => {
    await using server = await scriptedServer(hangUp, refusal(404, "queue_not_found"));
    const admin = createAdmin(connect({ url: server.url, retry: quick }));
    await expect(admin.queues.delete("billing")).resolves.toBeUndefined();
    await expect(admin.queues.delete("billing")).rejects.toMatchObject({ code: "queue_not_found" });
  });

  test("a delete that was refused before there was nothing to delete has deleted nothing", async () => {
    const busy = refusal(429, "too_many_requests");
    await using server = await scriptedServer(busy, refusal(404, "queue_not_found"));
    const admin = createAdmin(connect({ url: server.url, retry: quick }));
    await expect(admin.queues.delete("billing")).rejects.toMatchObject({
      code: "queue_not_found",
      outcomeUnknown: false,
    });
  });

  test.each([
    ["the first answer was lost", hangUp, true],
    ["the first attempt was refused", refusal(429, "too_many_requests"), false],
  ])(
    "a message that is delayed no more is not taken for cancelled where %s",
    async (_, first, open) => {
      await using server = await scriptedServer(first, refusal(404, "message_not_found"));
      const admin = createAdmin(connect({ url: server.url, retry: quick }));
      await expect(admin.queues.cancelDelayed("billing", "id")).rejects.toMatchObject({
        code: "message_not_found",
        outcomeUnknown: open,
      });
    },
  );
});

/** Resolves when the client has read the head of an answer from there, and passed it on. */
function untilAnswered(url: string): Promise<void> {
  return new Promise((resolve) => {
    const name = "undici:request:headers";
    const listen = (read: unknown) => {
      if (String((read as { request: { origin: unknown } }).request.origin) !== url) return;
      unsubscribe(name, listen);
      setImmediate(resolve);
    };
    subscribe(name, listen);
  });
}

function raise(error: Error): never {
  throw error;
}
