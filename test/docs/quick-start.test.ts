import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { CreateTopicCommand, PublishCommand, SNSClient } from "@aws-sdk/client-sns";
import { CreateQueueCommand, SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { createTestDatabase } from "@sluice/stack/testing";
import { startStandalone } from "@sluice/stack";
import { expect, inject, test } from "vitest";

import { codeBlocks, pages, root } from "./markdown.ts";

const run = promisify(execFile);

test("the quick start publishes, receives and acknowledges", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  await using sluice = await startStandalone({ databaseUrl: database.url });
  const program = join(root, "examples/dist/quick-start.js");
  const env = { ...process.env, SLUICE_URL: sluice.url };

  const { stdout, stderr } = await run(process.execPath, [program], { env });
  expect(stdout).toBe("bill 12.5 for order o-1\n");
  expect(stderr).toBe("");

  const left = (await (await fetch(`${sluice.url}/v1/queues/billing`)).json()) as {
    counts: object;
  };
  expect(left.counts).toMatchObject({ visible: 0, inFlight: 0 });
});

test("the example of filters tells who gets a message, and who gets it does", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  await using sluice = await startStandalone({ databaseUrl: database.url });
  const program = join(root, "examples/dist/filters.js");
  const env = { ...process.env, SLUICE_URL: sluice.url };
  const { stdout, stderr } = await run(process.execPath, [program], { env });
  expect(stderr).toBe("");
  expect(stdout.split("\n")).toEqual([
    "large-sales gets it",
    'refunds does not: sale.kind: ["order"] fulfils none of ["refund"]',
    'a large sale: {"sale":{"kind":"order"}}',
    "",
  ]);
});

test("the example of an outbox publishes what was committed, and nothing else", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  await using application = await createTestDatabase(inject("databaseUrl"));
  await using sluice = await startStandalone({ databaseUrl: database.url });
  const program = join(root, "examples/dist/outbox.js");
  const env = { ...process.env, SLUICE_URL: sluice.url, APP_DATABASE_URL: application.url };
  // As often as one likes: each run has an order of its own.
  for (const _ of [1, 2]) {
    const { stdout, stderr } = await run(process.execPath, [program], { env });
    expect(stderr).toBe("");
    const [, id = "none"] = /^there is an order (\S+):/.exec(stdout) ?? [];
    expect(stdout.split("\n")).toEqual([
      `there is an order ${id}: nothing is stored, and nothing will be published`,
      `bill 12 for order ${id}`,
      "",
    ]);
  }
});

test("the example of an outbox says which database it lacks", async () => {
  const program = join(root, "examples/dist/outbox.js");
  const { APP_DATABASE_URL: _, ...env } = process.env;
  const failed = run(process.execPath, [program], { env });
  await expect(failed).rejects.toThrow(/APP_DATABASE_URL is not set, expected postgres:\/\//);
});

test("a program that comes from AWS keeps its queue URLs and ARNs", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  const env = { SLUICE_ACCOUNT: "123456789012", SLUICE_REGION: "eu-central-1" };
  await using sluice = await startStandalone({ databaseUrl: database.url, env });
  const client = {
    endpoint: sluice.url,
    region: "eu-central-1",
    credentials: { accessKeyId: "any", secretAccessKey: "any" },
  };
  const sqs = new SQSClient(client);
  const sns = new SNSClient(client);
  try {
    await sqs.send(new CreateQueueCommand({ QueueName: "billing" }));
    await sns.send(new CreateTopicCommand({ Name: "orders" }));
    const QueueUrl = "https://sqs.eu-central-1.amazonaws.com/123456789012/billing";
    const sent = await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "m" }));
    expect(sent.MessageId).toBeDefined();
    const TopicArn = "arn:aws:sns:eu-central-1:123456789012:orders";
    const published = await sns.send(new PublishCommand({ TopicArn, Message: "m" }));
    expect(published.MessageId).toBeDefined();
  } finally {
    sqs.destroy();
    sns.destroy();
  }
});

test("every call that a page makes with curl is answered", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  await using sluice = await startStandalone({ databaseUrl: database.url });
  const ask = async (method: string, path: string, body?: string) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(sluice.url + path, { method, ...(body && { headers, body }) });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  await ask("POST", "/v1/topics", '{"name":"orders"}');
  await ask("POST", "/v1/queues", '{"name":"billing-dead"}');
  const redrive = '{"deadLetterQueue":"billing-dead","maxReceiveCount":3}';
  await ask("POST", "/v1/queues", `{"name":"billing","redrive":${redrive}}`);
  const made = await ask("POST", "/v1/topics/orders/subscriptions", '{"queue":"billing"}');
  const sent = await ask("POST", "/v1/topics/orders/messages", '{"messages":[{"body":"m"}]}');
  const [{ messageId }] = sent.body["results"] as [{ messageId: string }];
  const ids = { ID: made.body["id"] as string, MESSAGE_ID: messageId };

  const commands = pages()
    .flatMap((page) => codeBlocks(page, "sh"))
    .join("");
  const calls = [
    ...commands
      .replaceAll("\\\n", "")
      .matchAll(/^curl (?:-X (\w+) )?"?\$SLUICE([^\s"]+)"?(?:.* -d '([^']*)')?/gm),
  ];
  expect(calls.length).toBeGreaterThan(6);
  for (const [call, method = "GET", path = "", body] of calls) {
    const known = path.replace(/\$(ID|MESSAGE_ID)\b/, (_, name: keyof typeof ids) => ids[name]);
    const answer = await ask(method, known, body);
    expect({ call, answer }).toMatchObject({
      answer: { status: expect.toSatisfy((s: number) => s < 300) },
    });
  }
});
