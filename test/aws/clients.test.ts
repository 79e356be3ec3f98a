import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { CreateQueueCommand, SendMessageBatchCommand } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import { afterAll, beforeAll, expect, test } from "vitest";

import { ACCOUNT, REGION, Sluice } from "./sluice.ts";

const run = promisify(execFile);

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** What other programs are told to find us by. */
function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    AWS_ENDPOINT_URL: sluice.url,
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "any",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_PAGER: "",
  };
}

async function isThere(program: string, ...args: string[]): Promise<boolean> {
  return await run(program, args).then(
    () => true,
    () => false,
  );
}

const hasCli = await isThere("aws", "--version");
const hasBoto3 = await isThere("python3", "-c", "import boto3");

test.skipIf(!hasCli)(
  "the AWS command line publishes, receives and deletes",
  { timeout: 120_000 },
  async () => {
    const aws = async (command: string, ...args: string[]): Promise<Record<string, never>> => {
      const { stdout } = await run(
        "aws",
        ["--endpoint-url", sluice.url, "--output", "json", ...command.split(" "), ...args],
        { env: environment() },
      );
      return stdout.trim() === "" ? {} : (JSON.parse(stdout) as Record<string, never>);
    };
    const { QueueUrl } = await aws("sqs create-queue --queue-name cli");
    const { TopicArn } = await aws("sns create-topic --name cli");
    const queueArn = `arn:aws:sqs:${REGION}:${ACCOUNT}:cli`;
    await aws(
      `sns subscribe --topic-arn ${TopicArn} --protocol sqs --notification-endpoint ${queueArn} --attributes RawMessageDelivery=true`,
    );
    await aws(`sns publish --topic-arn ${TopicArn} --message`, "from the shell");
    const { Messages } = await aws(
      `sqs receive-message --queue-url ${QueueUrl} --wait-time-seconds 10`,
    );
    const [message] = Messages as unknown as { Body: string; ReceiptHandle: string }[];
    expect(message!.Body).toBe("from the shell");
    await aws(
      `sqs delete-message --queue-url ${QueueUrl} --receipt-handle ${message!.ReceiptHandle}`,
    );
    const failed = aws("sqs get-queue-url --queue-name absent");
    await expect(failed).rejects.toThrow("AWS.SimpleQueueService.NonExistentQueue");
  },
);

const PROGRAM = `
import boto3
sqs, sns = boto3.client("sqs"), boto3.client("sns")
url = sqs.create_queue(QueueName="boto", Attributes={"VisibilityTimeout": "60"}, tags={"team": "a"})["QueueUrl"]
arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["QueueArn"]
topic = sns.create_topic(Name="boto")["TopicArn"]
sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
sns.publish(TopicArn=topic, Message="hello", MessageAttributes={"n": {"DataType": "Number", "StringValue": "7"}})
message, = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, MessageAttributeNames=["All"])["Messages"]
assert message["Body"] == "hello" and message["MessageAttributes"]["n"]["StringValue"] == "7", message
sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
try:
    sqs.receive_message(QueueUrl=url + "x")
except sqs.exceptions.QueueDoesNotExist as error:
    assert error.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue", error.response
try:
    sns.publish(TopicArn=topic + "x", Message="hello")
except sns.exceptions.NotFoundException:
    print("done")
`;

test.skipIf(!hasBoto3)(
  "boto3 publishes, receives, deletes, and knows the errors",
  { timeout: 120_000 },
  async () => {
    const { stdout } = await run("python3", ["-c", PROGRAM], { env: environment() });
    expect(stdout.trim()).toBe("done");
  },
);

test("sqs-consumer hands on what it polls, and deletes it", async () => {
  const { QueueUrl } = await sluice.sqs.send(new CreateQueueCommand({ QueueName: "consumer" }));
  const Entries = Array.from({ length: 10 }, (_, index) => ({
    Id: `id-${index}`,
    MessageBody: `body-${index}`,
  }));
  await sluice.sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  const bodies: (string | undefined)[] = [];
  const consumer = Consumer.create({
    queueUrl: QueueUrl!,
    sqs: sluice.sqs,
    batchSize: 10,
    handleMessageBatch: (messages) => {
      bodies.push(...messages.map(({ Body }) => Body));
      if (bodies.length === 10) consumer.stop();
      return Promise.resolve(messages);
    },
  });
  const stopped = new Promise<void>((resolve) => {
    consumer.once("stopped", () => {
      resolve();
    });
  });
  const errors: unknown[] = [];
  consumer.on("error", (error) => errors.push(error));
  consumer.start();
  await stopped;
  expect(errors).toEqual([]);
  expect(bodies.sort()).toEqual(Entries.map(({ MessageBody }) => MessageBody).sort());
});
