import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { CreateQueueCommand, SendMessageBatchCommand } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, REGION, Sluice } from "./sluice.ts";

const run = promisify(execFile);

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** What other programs are told to find us by. */
function environment(url = sluice.url, key = { id: "any", secret: "any" }): NodeJS.ProcessEnv {
  return {
    ...process.env,
    AWS_ENDPOINT_URL: url,
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    AWS_ACCESS_KEY_ID: key.id,
    AWS_SECRET_ACCESS_KEY: key.secret,
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

test.skipIf(!hasCli)(
  "the AWS command line asks who it is, publishes, receives and deletes",
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
    expect(await aws("sts get-caller-identity")).toMatchObject({ Account: ACCOUNT });
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

/** Where a Python of its own may be besides that of the system, which is older on many machines. */
const PYTHONS = ["python3", "/usr/bin/python3"];
const DESCRIBE = `
import boto3, sys
client = boto3.client("sqs", region_name="any")
print(sys.executable, boto3.__version__, client.meta.service_model.metadata["protocol"])
`;

interface Boto3 {
  /** Its version, and what it speaks to SQS: `json`, or before November 2023 `query`. */
  title: string;
  /** Undefined where there is no boto3. */
  python: string | undefined;
}

async function boto3Of(python: string): Promise<Boto3> {
  const described = await run(python, ["-c", DESCRIBE]).catch(() => undefined);
  const [executable, version, protocol] = described?.stdout.trim().split(" ") ?? [];
  return executable === undefined
    ? { title: `none of ${python}`, python: undefined }
    : { title: `${version}, ${protocol}`, python: executable };
}

const found = await Promise.all(PYTHONS.map(boto3Of));
const boto3s = found.filter(
  ({ title }, index) => found.findIndex((other) => other.title === title) === index,
);

const PROGRAM = `
import boto3, os
from botocore.config import Config
# Before 2023 the environment tells it no endpoint.
given = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "config": Config(retries={"total_max_attempts": 1})}
sqs, sns = boto3.client("sqs", **given), boto3.client("sns", **given)
name = "boto-" + sqs.meta.service_model.metadata["protocol"]

def refusal(call, **given):
    try:
        return call(**given)
    except sqs.exceptions.ClientError as error:
        return type(error).__name__, error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]

dead = sqs.create_queue(QueueName=name + "-dead")["QueueUrl"]
dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"}, tags={"team": "a"})["QueueUrl"]
sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": '{"deadLetterTargetArn":"%s","maxReceiveCount":9}' % dead_arn})
attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
assert attributes["VisibilityTimeout"] == "60" and attributes["ApproximateNumberOfMessages"] == "0", attributes
assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a"}
assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=name, PaginationConfig={"PageSize": 1})
assert sorted(found for page in pages for found in page["QueueUrls"]) == sorted([url, dead])

topic = sns.create_topic(Name=name)["TopicArn"]
sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"], Attributes={"RawMessageDelivery": "true"})
sns.publish(TopicArn=topic, Message="hello", MessageAttributes={"n": {"DataType": "Number", "StringValue": "7"}})
message, = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, AttributeNames=["All"], MessageAttributeNames=["All"])["Messages"]
assert message["Body"] == "hello" and message["MessageAttributes"]["n"]["StringValue"] == "7", message
assert message["Attributes"]["ApproximateReceiveCount"] == "1" and int(message["Attributes"]["SentTimestamp"]) > 1.7e12, message
sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
message, = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

text = "<a> & 'b' + %2B" + "".join(map(chr, [9, 10, 13, 34, 92, 228, 0x1f600]))
binary = bytes(range(256))
sent = sqs.send_message_batch(QueueUrl=url, Entries=[
    {"Id": "whole", "MessageBody": text, "MessageAttributes": {
        "b": {"DataType": "Binary", "BinaryValue": binary}, "s": {"DataType": "String.x", "StringValue": text}}},
    {"Id": "later", "MessageBody": "later", "DelaySeconds": 900},
    {"Id": "wrong", "MessageBody": "x", "DelaySeconds": 901}])
assert [one["Id"] for one in sent["Successful"]] == ["whole", "later"], sent
assert [(one["Id"], one["SenderFault"]) for one in sent["Failed"]] == [("wrong", True)], sent
message, = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, MaxNumberOfMessages=10, MessageAttributeNames=["b", "s"])["Messages"]
assert message["Body"] == text and message["MD5OfBody"] == sent["Successful"][0]["MD5OfMessageBody"], message
assert message["MD5OfMessageAttributes"] == sent["Successful"][0]["MD5OfMessageAttributes"], message
assert message["MessageAttributes"]["b"] == {"DataType": "Binary", "BinaryValue": binary}, message
assert message["MessageAttributes"]["s"] == {"DataType": "String.x", "StringValue": text}, message
deleted = sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": "right", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "wrong", "ReceiptHandle": "x"}])
assert [one["Id"] for one in deleted["Successful"]] == ["right"], deleted
assert [(one["Id"], one["Code"]) for one in deleted["Failed"]] == [("wrong", "ReceiptHandleIsInvalid")], deleted
assert "Messages" not in sqs.receive_message(QueueUrl=url)

sqs.send_message(QueueUrl=url, MessageBody="woken", DelaySeconds=1)
message, = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
assert message["Body"] == "woken", message

absent = refusal(sqs.receive_message, QueueUrl=url + "x")
assert absent == ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400), absent
other = refusal(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "61"})
assert other[0] == "QueueNameExists" and other[2] == 400, other
invalid = refusal(sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=11)
assert invalid[1:] == ("InvalidParameterValue", 400), invalid
assert refusal(sns.publish, TopicArn=topic + "x", Message="hello")[1:] == ("NotFound", 404)
sqs.purge_queue(QueueUrl=url)
sns.delete_topic(TopicArn=topic)
for each in (url, dead): sqs.delete_queue(QueueUrl=each)
print("done")
`;

describe.each([
  ["boto3", false],
  ["boto3, its signatures checked,", true],
])("%s", (_, authentication) => {
  let server: Sluice;
  let key = { id: "any", secret: "any" };
  beforeAll(async () => {
    server = await Sluice.start({ authentication });
    key = (await server.keys?.create(ACCOUNT)) ?? key;
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.for(boto3s)(
    "$title publishes, sends, receives, waits, deletes, and knows the errors",
    { timeout: 120_000 },
    async ({ python }, { skip }) => {
      if (python === undefined) return skip("install boto3 for this Python to try it");
      const { stdout } = await run(python, ["-c", PROGRAM], { env: environment(server.url, key) });
      expect(stdout.trim()).toBe("done");
    },
  );
});

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
