import { createHash, randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";

import {
  PublishCommand,
  CreateTopicCommand,
  ListTopicsCommand,
  SNSClient,
} from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { cleanUp, type AccessKey } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { holdWith, until, untilBlocked } from "../broker/interleaving.ts";
import { send, signRequest, type RequestToSign } from "./signed-request.ts";
import { refusal, REGION, Sluice, textIn } from "./sluice.ts";

const ACCOUNT = "000000000001";
const OTHER = "000000000002";

let sluice: Sluice;
let key: AccessKey;
let sqs: SQSClient;
beforeAll(async () => {
  sluice = await Sluice.start({ authentication: true });
  key = await sluice.keys!.create(ACCOUNT);
  sqs = new SQSClient(sluice.clientOptions(credentialsOf(key)));
});
afterAll(async () => {
  sqs.destroy();
  await sluice[Symbol.asyncDispose]();
});

function credentialsOf({ id, secret }: AccessKey) {
  return { accessKeyId: id, secretAccessKey: secret };
}

describe("AWS' clients", () => {
  test("act for the account of their key, and see nothing of another", async () => {
    const other = await sluice.keys!.create(OTHER);
    const theirs = new SQSClient(sluice.clientOptions(credentialsOf(other)));
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "ours" }));
    expect(QueueUrl).toBe(`${sluice.url}/${ACCOUNT}/ours`);
    expect((await theirs.send(new ListQueuesCommand({}))).QueueUrls).toBeUndefined();
    const absent = sluice.url + `/${ACCOUNT}/absent`;
    for (const url of [QueueUrl, absent]) {
      const call = theirs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: "x" }));
      await expect(call).rejects.toMatchObject({
        name: "QueueDoesNotExist",
        message: "The specified queue does not exist.",
      });
    }
    theirs.destroy();
  });

  test("sign for SNS too", async () => {
    const sns = new SNSClient(sluice.clientOptions(credentialsOf(key)));
    const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: "signed" }));
    expect(TopicArn).toBe(`arn:aws:sns:${REGION}:${ACCOUNT}:signed`);
    await sns.send(new PublishCommand({ TopicArn, Message: "with späces & signs + ~ *" }));
    sns.destroy();
  });

  test("with a wrong secret, an unknown key or another region are refused", async () => {
    const list = async (options: object) => {
      const client = new SQSClient({ ...sluice.clientOptions(credentialsOf(key)), ...options });
      const outcome = await refusal(client.send(new ListQueuesCommand({})));
      client.destroy();
      return outcome;
    };
    const { id, secret } = key;
    const wrong = { accessKeyId: id, secretAccessKey: `${secret}x` };
    expect(await list({ credentials: wrong })).toBe("SignatureDoesNotMatch 403");
    const unknown = { accessKeyId: "SLUICEUNKNOWN0000000", secretAccessKey: secret };
    expect(await list({ credentials: unknown })).toBe("InvalidClientTokenId 403");
    expect(await list({ region: "eu-central-1" })).toBe("SignatureDoesNotMatch 403");
    expect(await list({})).toBe("nothing");
  });

  test("with a signature of SNS do not get into SQS", async () => {
    const body = "Action=ListQueues&Version=2012-11-05";
    expect(await outcomeOf(signedRequest({ service: "sns", body }))).toBe(
      "403 SignatureDoesNotMatch",
    );
  });

  test("lose what waits for them, and everything else, soon after their key is disabled", async () => {
    const soon = await sluice.keys!.create(ACCOUNT);
    const client = new SQSClient(sluice.clientOptions(credentialsOf(soon)));
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: "revoked" }));
    const watch = vi.spyOn(sluice.keys!, "watch");
    const waiting = client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }));
    // It has been let in.
    await until(() => Promise.resolve(watch.mock.calls.length > 0));
    watch.mockRestore();
    await sluice.keys!.disable(soon.id);
    const started = performance.now();
    expect((await waiting).Messages).toBeUndefined();
    // It is looked after each second, and would wait for twenty.
    expect(performance.now() - started).toBeLessThan(15_000);
    await until(async () => {
      const outcome = await refusal(client.send(new ListQueuesCommand({})));
      return outcome === "InvalidClientTokenId 403";
    });
    client.destroy();
  });
});

type Signed = ReturnType<typeof signRequest>;

function signedRequest(options?: RequestToSign): Signed {
  return signRequest(sluice.url, key, options);
}

/** `403 SignatureDoesNotMatch`, or `200`. */
async function outcomeOf({ method, path, headers, body }: Signed): Promise<string> {
  const { Host: _, ...others } = headers;
  const response = await fetch(sluice.url + path, {
    method,
    headers: others,
    ...(method === "POST" && { body }),
  });
  const code = textIn(await response.text(), "Code");
  return code === undefined ? String(response.status) : `${response.status} ${code}`;
}

async function newQueue(QueueName: string): Promise<string> {
  return (await sqs.send(new CreateQueueCommand({ QueueName }))).QueueUrl!;
}

async function newTopic(Name: string): Promise<string> {
  const sns = new SNSClient(sluice.clientOptions(credentialsOf(key)));
  const { TopicArn } = await sns.send(new CreateTopicCommand({ Name }));
  sns.destroy();
  return TopicArn!;
}

async function messageIdOf({ method, path, headers, body }: Signed) {
  const { Host: _, ...others } = headers;
  const response = await fetch(sluice.url + path, { method, headers: others, body });
  const id = textIn(await response.text(), "MessageId");
  expect(id).toBeDefined();
  return id;
}

/** Lets time pass for the API, where it is not the real one, and for what Postgres remembers of calls. */
async function pass(seconds: number): Promise<void> {
  if (vi.isFakeTimers()) vi.setSystemTime(Date.now() + seconds * 1_000);
  await sluice.database.sql`
    UPDATE idempotency_keys SET created_at = created_at - make_interval(secs => ${seconds}::float8)`;
  await cleanUp(sluice.database.maintenance);
}

async function isRemembered(invocationId: string): Promise<boolean> {
  const { sql } = sluice.database;
  const keys = await sql`SELECT FROM idempotency_keys WHERE key LIKE ${`aws/${invocationId}/%`}`;
  return keys.length > 0;
}

/** The time of a signature, so many seconds from now. */
function timeIn(seconds: number): string {
  const date = new Date(Date.now() + seconds * 1_000);
  return date.toISOString().replaceAll(/[:-]|\.\d{3}/g, "");
}

describe("a signature", () => {
  test("lets in what it is for", async () => {
    expect(await outcomeOf(signedRequest())).toBe("200");
  });

  test("of a key that is not there is refused before the body is read", async () => {
    const request = signedRequest();
    replace(request.headers, key.id, `${key.id.slice(0, -1)}_`);
    const { hostname, port } = new URL(sluice.url);
    const socket = connect(Number(port), hostname);
    const length = 16 * 1024 * 1024;
    const headers = Object.entries({ ...request.headers, "Content-Length": String(length) });
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`POST ${request.path} HTTP/1.1\r\n${lines}\r\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 403 [^]*InvalidClientTokenId/);
    socket.destroy();
  });

  test.each([
    [
      "none",
      (request: Signed) => delete request.headers["Authorization"],
      "403 MissingAuthenticationToken",
    ],
    [
      "of another algorithm",
      ({ headers }: Signed) => replace(headers, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
      "400 IncompleteSignature",
    ],
    [
      "that does not cover the host",
      ({ headers }: Signed) => replace(headers, "host;", ""),
      "400 IncompleteSignature",
    ],
    [
      "whose headers are in another order",
      ({ headers }: Signed) => replace(headers, "host;x-amz-date", "x-amz-date;host"),
      "400 IncompleteSignature",
    ],
    [
      "beside an x-amz header that it does not cover",
      ({ headers }: Signed) => (headers["x-amz-meta"] = "1"),
      "403 SignatureDoesNotMatch",
    ],
    [
      "over a header that is not there",
      (request: Signed) => {
        Object.assign(request, signedRequest({ headers: { "X-Sluice-Empty": "" } }));
        delete request.headers["X-Sluice-Empty"];
      },
      "403 SignatureDoesNotMatch",
    ],
    [
      "of another day than its scope",
      ({ headers }: Signed) => replace(headers, /\/\d{8}\//, "/20200101/"),
      "403 SignatureDoesNotMatch",
    ],
    [
      "of another service",
      ({ headers }: Signed) => replace(headers, "/sqs/", "/s3/"),
      "403 SignatureDoesNotMatch",
    ],
    [
      "with one digit changed",
      ({ headers }: Signed) =>
        replace(headers, /Signature=(.)/, (_, digit) => `Signature=${digit === "0" ? "1" : "0"}`),
      "403 SignatureDoesNotMatch",
    ],
    [
      "of another body",
      (request: Signed) => (request.body = request.body.replace("ListQueues", "PurgeQueue")),
      "403 SignatureDoesNotMatch",
    ],
    ["of another path", (request: Signed) => (request.path = "/?x=1"), "403 SignatureDoesNotMatch"],
  ])("%s is refused", async (_, change, expected) => {
    const request = signedRequest();
    change(request);
    expect(await outcomeOf(request)).toBe(expected);
  });

  test.each([
    ["fourteen minutes old", -14 * 60, "200"],
    ["sixteen minutes old", -16 * 60, "403 SignatureDoesNotMatch"],
    ["of the near future", 14 * 60, "200"],
    ["of the future", 16 * 60, "403 SignatureDoesNotMatch"],
  ])("%s: %i s", async (_, seconds, expected) => {
    const request = signedRequest({ headers: { "X-Amz-Date": timeIn(seconds) } });
    expect(await outcomeOf(request)).toBe(expected);
  });

  test.each([
    ["that is right", (body: string) => createHash("sha256").update(body).digest("hex"), "200"],
    ["of another body", () => createHash("sha256").digest("hex"), "403 SignatureDoesNotMatch"],
    ["left out", () => "UNSIGNED-PAYLOAD", "403 SignatureDoesNotMatch"],
  ])("over a hash of the body %s", async (_, hashOf, expected) => {
    const body = "Action=ListQueues&Version=2012-11-05";
    const headers = { "X-Amz-Content-Sha256": hashOf(body) };
    expect(await outcomeOf(signedRequest({ body, headers }))).toBe(expected);
  });

  test("in a URL works until it ends, for a week at most, and for what it names only", async () => {
    const presign = (expires: number, seconds = 0) =>
      signedRequest({
        method: "GET",
        body: "",
        signQuery: true,
        path: `/?Action=ListQueues&Version=2012-11-05&X-Amz-Expires=${expires}&X-Amz-Date=${timeIn(seconds)}`,
      });
    expect(await outcomeOf(presign(60))).toBe("200");
    expect(await outcomeOf(presign(60, -120))).toBe("403 RequestExpired");
    for (const expires of [0, 604_801, 700_000])
      expect(await outcomeOf(presign(expires))).toBe("400 IncompleteSignature");
    expect(await outcomeOf(presign(604_800))).toBe("200");
    const tampered = presign(60);
    tampered.path = tampered.path.replace("ListQueues", "CreateQueue") + "&QueueName=x";
    expect(await outcomeOf(tampered)).toBe("403 SignatureDoesNotMatch");
    const twice = presign(60);
    twice.headers["Authorization"] = signedRequest().headers["Authorization"] ?? "";
    expect(await outcomeOf(twice)).toBe("400 IncompleteSignature");
  });

  test.each([
    ["given twice, although either one would do", "Authorization", undefined, 400],
    ["for one of two hosts", "Host", "sluice.example", 403],
  ])("%s is refused", async (_, name, other, status) => {
    const { headers, body } = signedRequest();
    const given = Object.entries(headers).map(([each, value]) => `${each}: ${value}`);
    const added = `${name}: ${other ?? headers[name]}`;
    for (const lines of [
      [...given, added],
      [added, ...given],
    ]) {
      const head = ["POST / HTTP/1.1", ...lines, "Connection: close"];
      expect(await rawStatus(`${head.join("\r\n")}\r\n\r\n${body}`)).toBe(status);
    }
  });

  test("changes a queue once, but for a client that repeats itself", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    using _ = { [Symbol.dispose]: () => vi.useRealTimers() };
    const create = signedRequest({ body: "Action=CreateQueue&QueueName=replayed" });
    const drop = signedRequest({
      body: "Action=DeleteQueue",
      path: `/${ACCOUNT}/replayed`,
    });
    expect(await outcomeOf(create)).toBe("200");
    expect(await outcomeOf(create)).toBe("200");
    expect(await outcomeOf(drop)).toBe("200");
    vi.setSystemTime(Date.now() + 11_000);
    expect(await outcomeOf(create)).toBe("403 SignatureDoesNotMatch");
    expect(await outcomeOf(signedRequest({ body: create.body }))).toBe("200");
    expect(await outcomeOf(drop)).toBe("403 SignatureDoesNotMatch");
    const { QueueUrls } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: "replayed" }));
    expect(QueueUrls).toHaveLength(1);
  });

  test("stores a message once, where it covers the number of the call", async () => {
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "recorded" }));
    const send = signedRequest({
      body: "Action=SendMessage&MessageBody=x",
      path: `/${ACCOUNT}/recorded`,
      headers: { "amz-sdk-invocation-id": "5d0b7c2e-9f53-4d0e-8f3e-3f4f1b7f1a11" },
    });
    expect([await outcomeOf(send), await outcomeOf(send)]).toEqual(["200", "200"]);
    const { Messages } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }),
    );
    expect(Messages).toHaveLength(1);
  });

  test("has every message stored where it does not cover the number that a call comes with", async () => {
    const QueueUrl = await newQueue("added-number");
    for (const seconds of [0, 1]) {
      const send = signedRequest({
        body: "Action=SendMessage&MessageBody=x",
        path: `/${ACCOUNT}/added-number`,
        headers: { "X-Amz-Date": timeIn(seconds) },
      });
      send.headers["amz-sdk-invocation-id"] = "5d0b7c2e-9f53-4d0e-8f3e-3f4f1b7f1a12";
      expect(await outcomeOf(send)).toBe("200");
    }
    const receive = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 });
    expect((await sqs.send(receive)).Messages).toHaveLength(2);
  });

  const ahead = (minutes: number) => ({ "X-Amz-Date": timeIn(minutes * 60) });
  test.for([
    [-14, "SendMessage"],
    [0, "SendMessage"],
    [14, "SendMessage"],
    [0, "Publish"],
  ] as const)(
    "stores a message once for as long as it counts, by a clock that is %i minutes ahead: %s",
    async ([minutes, action]) => {
      vi.useFakeTimers({ toFake: ["Date"] });
      using _ = { [Symbol.dispose]: () => vi.useRealTimers() };
      const id = randomUUID();
      const send = signedRequest({
        service: action === "Publish" ? "sns" : "sqs",
        headers: { "amz-sdk-invocation-id": id, ...ahead(minutes) },
        ...(action === "Publish"
          ? { body: `Action=Publish&TopicArn=${await newTopic(id)}&Message=x` }
          : { body: `Action=SendMessage&QueueUrl=${await newQueue(id)}&MessageBody=x` }),
      });
      const first = await messageIdOf(send);
      const seconds = (minutes + 15) * 60 - 1;
      await pass(seconds);
      expect(await messageIdOf(send)).toBe(first);
      await pass(2);
      expect(await outcomeOf(send)).toBe("403 SignatureDoesNotMatch");
      expect(await isRemembered(id)).toBe(true);
      await pass(5 * 60);
      expect(await isRemembered(id)).toBe(false);
    },
  );

  test("in a URL keeps the number of a call for five minutes, however long it counts", async () => {
    await sqs.send(new CreateQueueCommand({ QueueName: "by-url" }));
    const id = randomUUID();
    const send = signedRequest({
      path: `/${ACCOUNT}/by-url?Action=SendMessage&MessageBody=x&X-Amz-Expires=86400`,
      body: "",
      signQuery: true,
      headers: { "amz-sdk-invocation-id": id },
    });
    expect(await outcomeOf(send)).toBe("200");
    expect(await isRemembered(id)).toBe(true);
    await pass(5 * 60);
    expect(await isRemembered(id)).toBe(false);
  });

  test("changes nothing when it is wrong", async () => {
    const request = signedRequest({
      body: "Action=CreateQueue&Version=2012-11-05&QueueName=never",
    });
    replace(request.headers, /Signature=./, "Signature=_");
    await outcomeOf(request);
    const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: "never" }));
    expect(QueueUrls).toEqual([]);
  });
});

function replace(
  headers: Record<string, string>,
  what: string | RegExp,
  by: string | ((match: string, group: string) => string),
): void {
  headers["Authorization"] = headers["Authorization"]!.replace(what, by as string);
}

async function rawStatus(request: string): Promise<number> {
  const { hostname, port } = new URL(sluice.url);
  const socket = connect(Number(port), hostname);
  socket.end(request);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return Number(chunk.toString().split(" ")[1]);
}

describe("the native API", () => {
  const call = (authorization?: string, path = "/v1/queues") =>
    fetch(sluice.url + path, { headers: authorization === undefined ? {} : { authorization } });

  test("takes the same keys, for the same account", async () => {
    await sqs.send(new CreateQueueCommand({ QueueName: "native" }));
    const response = await call(`Bearer ${key.id}.${key.secret}`);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('"native"');
    const other = await sluice.keys!.create(OTHER);
    expect(await (await call(`Bearer ${other.id}.${other.secret}`)).json()).toEqual({ queues: [] });
  });

  test.each([
    ["nothing", () => undefined],
    ["a wrong secret", () => `Bearer ${key.id}.${key.secret.slice(1)}x`],
    ["an unknown key", () => `Bearer SLUICEUNKNOWN0000000.${key.secret}`],
    ["no secret", () => `Bearer ${key.id}.`],
    ["another scheme", () => `Basic ${key.id}.${key.secret}`],
  ])("answers %s with one and the same refusal", async (_, authorization) => {
    const response = await call(authorization());
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await response.json()).toMatchObject({ error: { code: "unauthenticated" } });
  });

  test("takes one key of a call, by its direct way as by any", async () => {
    const other = await sluice.keys!.create(OTHER);
    await sqs.send(new CreateQueueCommand({ QueueName: "two-keys" }));
    const [ours, theirs] = [key, other].map(({ id, secret }) => `Bearer ${id}.${secret}`);
    for (const path of ["/v1/queues/two-keys/messages", "/v1/queues/two%2Dkeys/messages"]) {
      const request = {
        method: "POST",
        path,
        headers: { "content-type": "application/json", "content-length": "27" },
        body: '{"messages":[{"body":"x"}]}',
      };
      const outcomeWith = (authorization: string[]) =>
        send(sluice.url, { ...request, headers: { ...request.headers, authorization } });
      expect(await outcomeWith([ours!])).toBe("200");
      expect(await outcomeWith([ours!, theirs!])).toBe("401");
      expect(await outcomeWith([ours!, ours!])).toBe("401");
    }
  });

  test("leaves subscriptions and their replays to their account", async () => {
    const as = ({ id, secret }: AccessKey) => {
      const authorization = `Bearer ${id}.${secret}`;
      return async (request: string, body?: object) => {
        const [method, path] = request.split(" ");
        const response = await fetch(sluice.url + path!, {
          method: method!,
          headers: { authorization, "content-type": "application/json" },
          ...(body && { body: JSON.stringify(body) }),
        });
        return { status: response.status, body: (await response.json()) as { id: string } };
      };
    };
    const [ours, theirs] = [as(key), as(await sluice.keys!.create(OTHER))];
    await ours("POST /v1/topics", { name: "private", archive: { days: 1 } });
    await ours("POST /v1/queues", { name: "private" });
    const { body: made } = await ours("POST /v1/topics/private/subscriptions", {
      queue: "private",
    });
    const one = `/v1/subscriptions/${made.id}`;
    const from = "2026-01-31T08:00:00Z";
    const replay = await ours(`POST ${one}/replays`, { from, rate: 1 });
    expect(replay.status).toBe(201);
    expect((await theirs("GET /v1/subscriptions")).body).toEqual({ subscriptions: [] });
    for (const [request, body] of [
      [`GET ${one}`],
      [`PATCH ${one}`, { rawDelivery: false }],
      [`GET ${one}/replays`],
      [`POST ${one}/replays`, { from }],
      [`GET ${one}/replays/${replay.body.id}`],
      [`DELETE ${one}/replays/${replay.body.id}`],
      [`DELETE ${one}`],
    ] as const)
      expect({ request, ...(await theirs(request, body)) }).toMatchObject({ request, status: 404 });
    expect(await ours(`GET ${one}`)).toMatchObject({ status: 200, body: made });
  });

  test("lets in others at once while an account reads large lists", async () => {
    const other = await sluice.keys!.create(OTHER);
    const bearerOf = ({ id, secret }: AccessKey) => ({ authorization: `Bearer ${id}.${secret}` });
    const count = 40;
    const find = vi.spyOn(sluice.keys!, "find");
    using _ = { [Symbol.dispose]: () => find.mockRestore() };
    // As good as so large that they take for ever.
    const held = await holdWith(sluice.database.sql, "LOCK TABLE subscriptions");
    const lists = Array.from({ length: count }, async () => {
      const headers = bearerOf(key);
      const response = await fetch(`${sluice.url}/v1/subscriptions?limit=1000`, { headers });
      return response.status;
    });
    await until(() => Promise.resolve(find.mock.settledResults.length >= count));
    await untilBlocked(sluice.database.sql);
    const created = await fetch(`${sluice.url}/v1/topics`, {
      method: "POST",
      headers: { ...bearerOf(other), "content-type": "application/json" },
      body: '{"name":"unlisted"}',
    });
    expect(created.status).toBe(201);
    await held.letGo();
    expect(new Set(await Promise.all(lists))).toEqual(new Set([200]));
  });

  test("tells everybody how to get in", async () => {
    const document = (await (await call(undefined, "/openapi.json")).json()) as object;
    expect(document).toMatchObject({
      security: [{ accessKey: [] }],
      components: { securitySchemes: { accessKey: { type: "http", scheme: "bearer" } } },
    });
  });

  test("tells everybody that it lives", async () => {
    expect((await call(undefined, "/healthz")).status).toBe(200);
  });

  test("tells everybody how much it does, and nobody whose it is", async () => {
    await sqs.send(new CreateQueueCommand({ QueueName: "measured" }));
    await call(`Bearer ${key.id}.${key.secret}`, "/v1/queues/measured");
    const metrics = await call(undefined, "/metrics");
    expect(metrics.status).toBe(200);
    const text = await metrics.text();
    expect(text).toContain('route="/v1/queues/:queue"');
    for (const name of ["measured", ACCOUNT, key.id]) expect(text).not.toContain(name);
  });
});

describe("an account that sends more than there is room for", () => {
  const MIB = 2 ** 20;
  const length = String(16 * MIB);
  const heads = {
    "by the native API": () => {
      const lines = `Authorization: Bearer ${key.id}.${key.secret}\r\nContent-Type: application/json`;
      return `POST /v1/queues/crowded/messages HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n${lines}\r\n\r\n`;
    },
    "by AWS' protocols": () => {
      const { path, headers } = signedRequest();
      const all = Object.entries({ ...headers, "Content-Length": length });
      return `POST ${path} HTTP/1.1\r\n${all.map((header) => header.join(": ")).join("\r\n")}\r\n\r\n`;
    },
  };

  test.each(Object.entries(heads))(
    "%s has others served",
    async (_, headOf) => {
      const { hostname, port } = new URL(sluice.url);
      const sockets: Socket[] = [];
      let answers = "";
      // 17 of these leave 150 KiB of 256 MiB.
      const part = Buffer.alloc(15.05 * MIB, " ");
      await Promise.all(
        Array.from({ length: 18 }, async () => {
          const socket = connect(Number(port), hostname);
          sockets.push(socket.on("error", () => undefined));
          socket.on("data", (chunk: Buffer) => (answers += chunk.toString()));
          socket.write(headOf());
          await new Promise((written) => socket.write(part, written));
        }),
      );
      await until(() => Promise.resolve(answers.startsWith("HTTP/1.1 4")));

      const other = await sluice.keys!.create(OTHER);
      const theirs = new SQSClient(sluice.clientOptions(credentialsOf(other)));
      const { QueueUrl } = await theirs.send(new CreateQueueCommand({ QueueName: "uncrowded" }));
      const MessageBody = "x".repeat(MIB / 2);
      await theirs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
      theirs.destroy();
      const authorization = `Bearer ${other.id}.${other.secret}`;
      const { status } = await fetch(`${sluice.url}/v1/queues/uncrowded/messages`, {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: JSON.stringify({ messages: [{ body: MessageBody }] }),
      });
      expect(status).toBe(200);
      for (const socket of sockets) socket.destroy();
    },
    60_000,
  );
});

test("a key that many calls ask for at once is looked up once", async () => {
  const { id } = await sluice.keys!.create(OTHER);
  const select = vi.spyOn(sluice.database.lookUps, "select");
  const found = await Promise.all(Array.from({ length: 100 }, () => sluice.keys!.find(id)));
  expect(select).toHaveBeenCalledTimes(1);
  select.mockRestore();
  expect(new Set(found.map((each) => each?.id))).toEqual(new Set([id]));
});

test("a key in use is looked up ahead of its time, and no call waits for that", async () => {
  const { id } = await sluice.keys!.create(OTHER);
  const found = performance.now();
  // By the clock of caches, which stands still between these calls: a key is known for three seconds.
  const now = vi.spyOn(performance, "now").mockReturnValue(found);
  using _ = { [Symbol.dispose]: () => vi.restoreAllMocks() };
  await sluice.keys!.find(id);
  const select = vi.spyOn(sluice.database.lookUps, "select").mockImplementation(() => {
    throw new Error("the database is away");
  });
  for (const [age, isLookedUp] of [
    [1_400, false],
    [1_600, true],
  ] as const) {
    now.mockReturnValue(found + age);
    // It is read once a millisecond at most.
    await setTimeout(10);
    expect(await sluice.keys!.find(id)).toMatchObject({ id });
    expect(select.mock.calls.length > 0).toBe(isLookedUp);
  }
});

test("no secret is to be found in the database", async () => {
  const rows = await sluice.database.sql`SELECT t::text AS row FROM access_keys t`;
  const hex = Buffer.from(key.secret).toString("hex");
  for (const { row } of rows as unknown as { row: string }[]) {
    expect(row).not.toContain(key.secret);
    expect(row).not.toContain(hex);
  }
  expect(rows.length).toBeGreaterThan(0);
});

test("topics of another account are not listed", async () => {
  const namesOf = async (account: string) => {
    const accessKey = await sluice.keys!.create(account);
    const sns = new SNSClient(sluice.clientOptions(credentialsOf(accessKey)));
    await sns.send(new CreateTopicCommand({ Name: `of-${account}` }));
    const { Topics } = await sns.send(new ListTopicsCommand({}));
    sns.destroy();
    return Topics!.map(({ TopicArn }) => TopicArn!.split(":").at(-1));
  };
  for (const account of ["000000000007", "000000000008"])
    expect(await namesOf(account)).toEqual([`of-${account}`]);
});
